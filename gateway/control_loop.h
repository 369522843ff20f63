// SPDX-License-Identifier: Apache-2.0
//
// The control thread: the one writer of everything that changes slowly. It takes changes through
// the ChangeQueue (apply → compile → commit → publish), punted packets from the workers, timers of
// the neighbours, and questions of the http pool. It never waits for a worker or for the disk.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

#include "api/control.h"
#include "compartments/published.h"
#include "gateway/address_watch.h"
#include "gateway/bfd_control.h"
#include "gateway/bgp_gateway.h"
#include "gateway/compile.h"
#include "gateway/dataplane.h"
#include "gateway/domain_tuns.h"
#include "gateway/eal.h"
#include "gateway/ipsec_control.h"
#include "gateway/nat_control.h"
#include "gateway/next_hops.h"
#include "gateway/ports.h"
#include "gateway/resolver.h"
#include "gateway/router_advertiser.h"
#include "gateway/trace.h"
#include "gateway/transaction.h"
#include "gateway/worker.h"
#include "gateway/worker_watch.h"

namespace hnv {

class ControlLoop final : public Control {
 public:
  struct Parts {
    const Bootstrap& bootstrap;
    const Eal& eal;
    const std::vector<Port>& ports;
    PortCatalog catalog;
    ServerChoices choices;
    ModelPtr model;  // as the store kept it
    Store& store;
    IkeStart ike;
    BgpStart bgp;
  };
  // Compiles and publishes what the store kept. REQUIRES the constructing thread to be the one that
  // calls run().
  explicit ControlLoop(Parts parts);
  ~ControlLoop() override;
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;
  ControlLoop(ControlLoop&&) = delete;
  ControlLoop& operator=(ControlLoop&&) = delete;

  // Until stop(); which any thread may call.
  void run();
  void stop();
  // The ledger once the workers have ended; empties the rings between them.
  [[nodiscard]] DropsState final_drops();
  // NAT's sessions from a file and to it (gateway/nat_state_file.h), with a line in the log.
  // REQUIRES that no worker runs.
  void restore_nat(const std::string& path);
  void save_nat(const std::string& path);
  [[nodiscard]] Worker& worker(unsigned i) { return *workers_[i]; }
  [[nodiscard]] unsigned workers() const { return static_cast<unsigned>(workers_.size()); }

  // --- Control, from the http pool ---
  [[nodiscard]] tl::expected<Applied, ChangeError> apply(Change change) override;
  [[nodiscard]] std::shared_ptr<const ConfigSnapshot> config() const override;
  [[nodiscard]] SystemState system() const override;
  [[nodiscard]] std::vector<PortState> ports() const override;
  [[nodiscard]] StatisticsState statistics() const override;
  [[nodiscard]] DropsState drops() const override;
  [[nodiscard]] std::optional<RouteTableState> routes(std::string_view domain,
                                                      const RoutePage& page) const override;
  [[nodiscard]] std::optional<NeighborTable> neighbors(std::string_view domain,
                                                       const NeighborPage& page) const override;
  [[nodiscard]] NeighborTable outside_neighbors(const NeighborPage& page) const override;
  [[nodiscard]] std::optional<DomainStatistics> domain_statistics(
      std::string_view domain) const override;
  [[nodiscard]] std::vector<DomainStatistics> all_domain_statistics() const override;
  [[nodiscard]] std::optional<ConfigurationState> configuration_state(
      const ResourceKey& key) const override;
  [[nodiscard]] std::optional<ConnectionState> connection_state(
      const NetworkConnectionKey& key) const override;
  [[nodiscard]] std::optional<BgpPeerStatus> bgp_peer_state(const BgpPeerKey& key) const override;
  [[nodiscard]] Result<BgpRouteList> bgp_routes(std::string_view domain,
                                                const BgpRouteQuestion& question) const override;
  [[nodiscard]] Result<void> act_on_tunnel(const NetworkConnectionKey& key,
                                           TunnelAction action) override;
  [[nodiscard]] Result<TunnelDoctorState> tunnel_doctor(
      const NetworkConnectionKey& key) const override;
  [[nodiscard]] std::vector<IkeFaultState> ike_faults() const override;
  [[nodiscard]] Result<LookupExplanation> explain(
      std::string_view domain, const IpAddress<Space::customer>& destination) const override;
  [[nodiscard]] Result<NatSessionList> nat_sessions(std::string_view domain,
                                                    const NatSessionFilter& filter,
                                                    const NatSessionPage& page) const override;
  [[nodiscard]] Result<uint64_t> end_nat_sessions(std::string_view domain,
                                                  const NatSessionFilter& filter) override;
  [[nodiscard]] std::optional<NatDomainState> nat_state(std::string_view domain) const override;
  [[nodiscard]] std::optional<NatPoolState> nat_pool_state(std::string_view name) const override;
  Result<void> set_trace(std::optional<TraceFilter> filter) override;
  [[nodiscard]] TraceState trace() const override;

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] Result<TunnelId> tunnel_of(const NetworkConnectionKey& key) const;

  struct AddressFault {
    std::string address, other;
    bool duplicate = false;  // else only claimed by somebody
  };
  [[nodiscard]] std::vector<AddressFault> address_faults(LinkId link) const;

  // Runs `question` on the control thread and waits for its answer.
  template <class F>
  auto ask(F question) const -> decltype(question());
  void answer_questions();

  // Everything but changes: neighbours, timers, questions. In the midst of a long change too.
  [[nodiscard]] Worker::Config config_of_worker(unsigned worker) const;
  void serve(Instant at);
  // Between two steps of a long change: serves, when that has not been done for a while.
  [[nodiscard]] bool due();
  void take_punts(Instant now);
  void on_timer(Instant now);
  void turn_routes();
  void serve_tunnels(Instant now);
  void turn_tunnels(Instant now);
  void serve_bgp(Instant now);
  // What charon sends, on its way out.
  void send_ike(Instant now);
  [[nodiscard]] ConnectionState tunnel_state(const ConnectionView& view) const;
  // Waits for charon's farewell to the sites and bgpd's to its peers, a moment at most.
  void say_farewell();
  void advertise_changes(const Compilation& done, Instant now);
  void watch_workers(Instant now);
  // The domain's number for questions about its NAT; an error: there is no such domain, or no NAT.
  [[nodiscard]] Result<CompartmentId> nat_domain(std::string_view domain) const;
  [[nodiscard]] bool is_stuck(unsigned worker) const {  // from any thread
    return (stuck_.load(std::memory_order_relaxed) >> worker & 1) != 0;
  }
  void publish_if_dirty();
  void publish();
  void drain_trace() const;
  bool inject(rte_mbuf* mbuf);
  [[nodiscard]] unsigned sender_of(
      PortId port) const;  // a worker that has a queue of its own there
  [[nodiscard]] static Instant now();

  // A compilation between the check of a change and its commit. Gone without a publish, it gives
  // back what it had taken.
  class UnderWay;
  // The ChangeQueue's callback.
  [[nodiscard]] ChangeQueue::Publish prepare(const Model& before, const Model& after,
                                             const std::vector<Touched>& touched);
  void publish_change(Compilation& done);
  using CompileOn = std::function<Compilation(const std::shared_ptr<const Compiled>& before,
                                              const DesiredState& model)>;
  void compile_beside(Instant at, const CompileOn& compile);
  // Makes it what is compiled, between two changes of the configuration.
  void put_live(std::shared_ptr<const Compiled> next, Instant now);
  void abandon_change(const Compilation& lost);
  void release_some();

  [[nodiscard]] NeighborTable neighbors_on(const std::vector<LinkId>& links,
                                           const NeighborPage& page) const;
  [[nodiscard]] std::vector<NeighborState> neighbors_on(LinkId link) const {
    return neighbors_on({link}, {}).neighbors;
  }
  [[nodiscard]] std::optional<NeighborState> neighbor_toward(const NextHopTarget& target) const;
  [[nodiscard]] std::shared_ptr<const Compiled> compiled() const;
  [[nodiscard]] std::vector<WorkerPicture> pictures() const;
  [[nodiscard]] static DropsState drops_of(const std::vector<WorkerPicture>& seen);
  void explain_subnet(LookupExplanation& out, const CompiledDomain& domain, const Hop& hop,
                      const IpAddress<Space::customer>& destination) const;
  void explain_connection(LookupExplanation& out, const CompiledDomain& domain, const Hop& hop,
                          const IpAddress<Space::customer>& destination) const;

  const Bootstrap& bootstrap_;
  const Eal& eal_;
  const std::vector<Port>& ports_;
  const Clock::time_point started_ = Clock::now();
  CompileContext context_;
  uint64_t next_uid_ = 1;
  ControlToken token_;
  MacAddress gateway_mac_;

  // Control thread only.
  NextHops next_hops_;
  bool under_way_ = false;
  std::deque<MovedUntil> moved_;  // in the order of their ends
  bool root_dirty_ = true;
  Dataplane root_;  // what the next publish will make of it
  Instant next_tick_;
  Instant served_at_;
  unsigned steps_ = 0;
  bool running_ = false;
  std::deque<NextHopId> to_release_;  // by and by

  mutable std::mutex compiled_mutex_;  // guards the pointer for the http pool
  std::shared_ptr<const Compiled> compiled_;

  Rcu rcu_;
  std::unique_ptr<Published<Dataplane>> published_;
  Handoffs handoffs_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<NatControl> nat_;
  std::unique_ptr<IpsecControl> ipsec_;
  std::unique_ptr<BfdControl> bfd_;
  std::unique_ptr<BgpGateway> bgp_;
  TurnedTunnels turned_tunnels_;      // not compiled yet
  std::vector<WorkerWatch> watches_;  // by worker
  std::atomic<uint64_t> stuck_{0};    // a bit a worker
  std::unique_ptr<AddressWatch> addresses_;
  uint64_t addresses_published_ = 0;  // their version
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<RouterAdvertiser> advertiser_;
  std::unique_ptr<DomainTuns> tuns_;
  std::unique_ptr<ChangeQueue> changes_;
  std::atomic<uint64_t> publishes_{0};
  std::atomic<uint64_t> roots_waiting_{0};

  struct Trace {
    TraceFilter filter;
    Instant begin;
    std::shared_ptr<PacketTrace> packets;
    std::vector<TraceEvent> events;
  };
  std::unique_ptr<Trace> trace_;

  mutable std::mutex questions_mutex_;
  mutable std::vector<std::function<void()>> questions_;
  mutable bool answering_ = true;
  int wake_fd_ = -1;
  std::atomic<bool> stop_{false};
};

template <class F>
auto ControlLoop::ask(F question) const -> decltype(question()) {
  auto task = std::make_shared<std::packaged_task<decltype(question())()>>(std::move(question));
  auto answer = task->get_future();
  {
    const std::scoped_lock lock(questions_mutex_);
    // After the loop has ended nothing changes any more: the asking thread may look itself.
    if (answering_) {
      questions_.emplace_back([task] { (*task)(); });
      task = nullptr;
    }
  }
  if (task != nullptr) {
    (*task)();
  } else {
    const uint64_t one = 1;
    (void)!write(wake_fd_, &one, sizeof one);
  }
  return answer.get();
}

}  // namespace hnv
