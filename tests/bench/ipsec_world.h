// SPDX-License-Identifier: Apache-2.0
//
// A world in which each routing domain has an IPsec tunnel to a site of its own, and a worker's
// line. What the domains send to 192.168.0.0/16 goes there. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "gateway/line.h"
#include "tests/bench/frames.h"
#include "tests/bench/world.h"
#include "tests/support/random.h"

namespace hnv {

enum class BenchCipher : uint8_t { aes256gcm, aes256cbc_sha256 };

// exceeded: each tunnel gets a little more than its rate, so that every packet waits.
enum class BenchLimits : uint8_t { off, suffice, exceeded };

struct IpsecShape {
  unsigned tunnels = 1;
  BenchCipher cipher = BenchCipher::aes256gcm;
  BenchLimits limits = BenchLimits::suffice;
  unsigned size = 0;  // of exceeded: the rate is by the packets that come
  // Half a vector comes in a breath, and as many buffers are used in turn as wait where limits are
  // exceeded. Those always are so.
  bool paced = false;
};

class IpsecWorld {
 public:
  explicit IpsecWorld(const IpsecShape& shape);
  IpsecWorld(const IpsecWorld&) = delete;
  IpsecWorld& operator=(const IpsecWorld&) = delete;
  IpsecWorld(IpsecWorld&&) = delete;
  IpsecWorld& operator=(IpsecWorld&&) = delete;
  ~IpsecWorld();  // gives the pool all buffers back

  // A packet of `size` bytes of any of the domains into each buffer: from a machine, or, sealed by
  // its site, from outside.
  void fill_out(Packets& packets, unsigned size);
  void fill_in(Packets& packets, unsigned size);
  // All of them, a vector a breath, or half of one.
  void forward(Packets& packets, PortId in, unsigned out);
  // After a paced pass: buffers that are the caller's again, in place of those
  // that the line has kept.
  void take_back(Packets& packets);
  // How many were sent since this was asked last.
  [[nodiscard]] uint64_t forwarded();

  [[nodiscard]] Line& line() { return line_; }
  [[nodiscard]] const IpsecShape& shape() const { return shape_; }
  // The keys with which the sites seal.
  [[nodiscard]] static SaSpec spec(const IpsecShape& shape, unsigned tunnel, SaDirection direction);

 private:
  void add_tunnel(Dataplane& plane, IpsecPlan& plan, unsigned tunnel);
  [[nodiscard]] TunnelRate rate() const;
  void add_buffers();
  void forward_paced(Packets& packets, PortId in, unsigned out);

  IpsecShape shape_;
  World world_;
  SaDatabase sas_;
  Dataplane plane_;
  Line line_{0, 2};
  EspTransform site_;
  std::vector<std::shared_ptr<EspKeys>> site_keys_;
  std::vector<uint32_t> sequences_;
  std::vector<std::vector<Frame>> frames_;  // by domain; of frames_size_
  unsigned frames_size_ = 0;
  Instant now_ = kNow;
  Random random_{11};
  std::deque<rte_mbuf*> back_;
  uint64_t forwarded_ = 0;
  bool given_ = false;  // the line has the buffers
};

}  // namespace hnv
