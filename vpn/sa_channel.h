// SPDX-License-Identifier: Apache-2.0
//
// The gateway's end of the socket on which charon's plugin hands over its SAs (the messages are in
// vpn/charon/sa_protocol.h). One for each charon. No thread of its own: the control loop polls its
// descriptors and calls step().
//
//   step: read requests → SaDatabase → publish → acknowledge
//
// charon uses an SA when its acknowledgement came, so what it was asked for is live by then.
// A peer that is not charon's user, or breaks the protocol, is disconnected and said in the log;
// charon's plugin connects again and says what it has. Messages hold keys: buffers are wiped, and
// nothing of them is logged but numbers.
//
// Threads: one, the control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/types.h>
#include <vector>

#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"
#include "vpn/sa_database.h"
#include "vpn/sa_messages.h"

namespace hnv {

// A listening SOCK_SEQPACKET socket at `path`, mode 0600, its owner `user`. The folder must be
// mode 0700 or narrower and belong to `user` or to us: who can reach the socket can set keys. A
// socket file that is there is replaced.
[[nodiscard]] Result<OwnedFd> listen_for_sas(const std::string& path, uid_t user);

class SaChannel {
 public:
  struct Options {
    CharonId charon = 0;
    uid_t user = 0;  // charon's: nobody else is heard
    SaDatabase::IndexRange range;
    Duration counters_every = std::chrono::seconds(1);
  };
  enum class State : uint8_t { away, connected, synced };

  // `publish` makes the database's table live, and returns when workers that look again find it.
  // REQUIRES a database that outlives this; adds its charon there.
  SaChannel(OwnedFd listener, const Options& options, SaDatabase& sas,
            std::function<void()> publish);
  ~SaChannel();
  SaChannel(const SaChannel&) = delete;
  SaChannel& operator=(const SaChannel&) = delete;
  SaChannel(SaChannel&&) = delete;
  SaChannel& operator=(SaChannel&&) = delete;

  void add_to(std::vector<pollfd>& fds) const;
  // Takes what came, tells what is to be told. Never waits; takes at most some hundred requests.
  void step(Instant now);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] uint32_t pid() const { return hello_.pid; }
  // Authenticated packets of an inbound SA come from another address or port.
  void mapping(const SaName& inbound, const SaEndpoint& remote);
  // A packet waits for what the trap policy `reqid` covers.
  void acquire(uint32_t reqid);
  // Ends the connection; the plugin comes again.
  void disconnect(std::string_view why);

 private:
  struct Acknowledgement {
    uint32_t sequence = 0;
    sa_protocol::Status status = sa_protocol::Status::done;
  };

  void accept_peer();
  void read_requests(Instant now);
  void take(SaRequest request, Instant now);
  [[nodiscard]] sa_protocol::Status apply(SaRequest& request, Instant now);
  void greet(const SaHello& hello);
  void send(SaMessage message);
  void flush();
  void report(Instant now);

  OwnedFd listener_;
  Options options_;
  SaDatabase& sas_;
  std::function<void()> publish_;
  OwnedFd peer_;
  State state_ = State::away;
  bool greeted_ = false;
  SaHello hello_;
  std::vector<Acknowledgement> acknowledgements_;  // of this step, sent after the publish
  std::deque<SaMessage> out_;                      // what the socket did not take yet
  std::unique_ptr<uint8_t[]> buffer_;
  Instant next_report_;
};

}  // namespace hnv
