// SPDX-License-Identifier: Apache-2.0
//
// Bytes as messages of the plugin in charon, each with its length in front, into a database.
// Nothing may crash; what a table shows must be what was asked for, with keys of the right sizes;
// and of a tunnel that nobody announced there is nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>
#include <variant>

#include "vpn/sa_messages.h"

namespace {

constexpr uint32_t kTunnels = 4;
constexpr hnv::SaDatabase::IndexRange kRange{0, 64};

void require(bool condition) {
  if (!condition) std::abort();
}

void check_sa(const hnv::Sa& sa) {
  const hnv::SaSpec& spec = sa.spec;
  require(spec.if_id < kTunnels && spec.keys != nullptr);
  require(spec.source.address.family() == spec.destination.address.family());
  const bool aead = spec.integrity == hnv::SaIntegrity::none;
  require(spec.keys->salt.size() == (aead ? 4U : 0U));
  require(spec.keys->integrity.empty() == aead);
  const size_t key = spec.keys->encryption.size();
  require(key == 16 || key == 24 || key == 32);
}

struct Take {
  hnv::SaDatabase& sas;
  hnv::Instant now;

  void operator()(hnv::SaAdd& add) const {
    const uint32_t if_id = add.spec.if_id;
    const auto added = sas.add(0, std::move(add.spec), add.origin, add.hard, now);
    require(added.has_value() ? if_id < kTunnels : !added.error().message.empty());
  }
  void operator()(const hnv::SaUpdate& update) const {
    (void)sas.update(0, update.name, update.source, update.destination, update.encapsulation);
  }
  void operator()(const hnv::SaDelete& deleted) const { (void)sas.remove(0, deleted.name); }
  void operator()(const hnv::SaFlush&) const { sas.flush(0); }
  void operator()(const hnv::SaSync&) const { sas.synced(0, now); }
  void operator()(const hnv::SaHello&) const { sas.connected(0); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  hnv::SaDatabase sas(std::chrono::seconds(3));
  sas.add_charon(0, kRange);
  for (uint32_t i = 0; i < kTunnels; ++i) sas.add_tunnel(i, 0);
  hnv::Instant now{1'000'000'000};
  std::span<const uint8_t> left(bytes, size);
  while (left.size() >= 2) {
    const size_t length = std::min<size_t>(size_t{left[0]} << 8 | left[1], left.size() - 2);
    auto request = hnv::decode_sa_request(left.subspan(2, length));
    left = left.subspan(2 + length);
    if (request) {
      std::visit(Take{sas, now}, request->what);
    } else {
      require(!request.error().message.empty());
    }
    now = now + std::chrono::seconds(1);
    sas.tick(now);
    for (uint32_t i = 0; i < kRange.count; ++i) {
      const auto& sa = sas.table().inbound[i];
      if (sa == nullptr) continue;
      check_sa(*sa);
      require(hnv::sa_protocol::index_of_spi(sa->spec.spi) == i);
    }
    for (uint32_t if_id = 0; if_id < kTunnels; ++if_id) {
      const auto& sa = sas.table().outbound[if_id];
      if (sa == nullptr) continue;
      check_sa(*sa);
      require(sa->spec.if_id == if_id && sa->spec.direction == hnv::SaDirection::outbound);
    }
  }
  return 0;
}
