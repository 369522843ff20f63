// SPDX-License-Identifier: Apache-2.0
//
// A world in which each routing domain has an IPsec tunnel to a site of its own, and a worker's
// line. What the domains send to 192.168.0.0/16 goes there. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/line.h"
#include "tests/bench/frames.h"
#include "tests/bench/world.h"
#include "tests/support/random.h"

namespace hnv {

enum class BenchCipher : uint8_t { aes256gcm, aes256cbc_sha256 };

struct IpsecShape {
  unsigned tunnels = 1;
  BenchCipher cipher = BenchCipher::aes256gcm;
  bool limited = true;  // a rate is looked at, and suffices
};

class IpsecWorld {
 public:
  explicit IpsecWorld(const IpsecShape& shape);

  // A packet of `size` bytes of any of the domains into each buffer: from a machine, or, sealed by
  // its site, from outside.
  void fill_out(Packets& packets, unsigned size);
  void fill_in(Packets& packets, unsigned size);
  // All of them, a vector a breath.
  void forward(Packets& packets, PortId in, unsigned out);

  [[nodiscard]] Line& line() { return line_; }
  [[nodiscard]] const IpsecShape& shape() const { return shape_; }
  // The keys with which the sites seal.
  [[nodiscard]] static SaSpec spec(const IpsecShape& shape, unsigned tunnel, SaDirection direction);

 private:
  void add_tunnel(Dataplane& plane, IpsecPlan& plan, unsigned tunnel);

  IpsecShape shape_;
  World world_;
  SaDatabase sas_;
  Dataplane plane_;
  Line line_{0, 2};
  EspTransform site_;
  std::vector<std::shared_ptr<EspKeys>> site_keys_;
  std::vector<uint32_t> sequences_;
  std::vector<std::vector<Frame>> frames_;  // by size asked for; of the current one
  unsigned frames_size_ = 0;
  size_t next_frame_ = 0;
  Instant now_ = kNow;
  Random random_{11};
};

}  // namespace hnv
