// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/nat_world.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <unistd.h>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr uint32_t kFirstRemote = 0xcb007100;  // 203.0.113.0/24
constexpr uint16_t kRemotePort = 443;

// Addresses whose ports are a quarter taken, and enough blocks for every machine to have one.
uint8_t pool_bits(unsigned sessions) {
  return static_cast<uint8_t>(std::bit_width(std::max(sessions / 16384, 32U) - 1));
}

uint64_t resident() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0;
  uint64_t pages = 0;
  if (!(file >> all >> pages)) stop("/proc/self/statm cannot be read");
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

NatWorld::NatWorld(unsigned domains, unsigned sessions)
    : world_({domains, kMachines}), outside_(sessions) {
  world_.put_nat(pool_bits(sessions));
  world_.commit(kNow);
  for (unsigned domain = 0; domain < domains; ++domain) {
    const VsidEntry* entry = world_.plane().vsids->find(World::gateway_vsid(domain));
    if (entry == nullptr) stop("a domain has not been compiled");
    compartments_.push_back(entry->compartment);
  }
  empty_bytes_ = resident();
  line_ = std::make_unique<Line>(0, 2, 1, std::max(sessions, Line::kFewSessions));
}

uint64_t NatWorld::bytes_taken() const { return resident() - empty_bytes_; }

NatFlow NatWorld::flow(unsigned n) const {
  const unsigned domains = world_.size().compartments;
  const unsigned of_domain = n / domains;
  return {.domain = n % domains,
          .record = of_domain % world_.records_per_domain(),
          .inside_port = static_cast<uint16_t>(1024 + of_domain % kPorts),
          .remote_port = kRemotePort,
          .remote = kFirstRemote + 1 + n % 251,
          .outside = outside_[n].address.value(),
          .outside_port = outside_[n].port.value()};
}

void NatWorld::open(unsigned count) {
  NatTable& nat = table();
  for (unsigned i = 0; i < count; ++i, ++opened_) {
    const NatFlow next = flow(opened_);
    const CompartmentId domain = compartments_[next.domain];
    const auto done = nat.open(plan(), *plan().rules_of(domain),
                               {.inside = be32{kFirstVm + next.record},
                                .remote = be32{next.remote},
                                .inside_port = be16{next.inside_port},
                                .remote_port = be16{next.remote_port},
                                .protocol = wire::ip_protocol::kUdp,
                                .compartment = domain},
                               now_);
    if (done.session == nullptr) {
      stop(fmt::format("session {} is refused: {}", opened_, to_string(done.reason)));
    }
    outside_[opened_] = {done.session->outside, done.session->outside_port};
  }
}

void NatWorld::take_records() {
  NatRecord record;
  while (table().records().pop(&record, 1) > 0) continue;
}

void NatWorld::open_all() {
  table().populate(0, sessions());
  while (opened_ < sessions()) {
    open(std::min(4096U, sessions() - opened_));
    take_records();
  }
  // A part in every breath.
  for (unsigned left = sessions() / 1024 + 16; table().swept() != plan().serial; --left) {
    if (left == 0) stop("the sweep does not come to an end");
    line_->tend(world_.plane(), now_);
  }
}

void NatWorld::fill_out(Packets& packets, unsigned size) {
  for (unsigned i = 0; i < kInFlight; ++i) {
    const auto n = static_cast<unsigned>(random_.below(opened_));
    restore(packets[i], frame_out(world_, flow(n), size));
  }
}

void NatWorld::fill_back(Packets& packets, unsigned size) {
  for (unsigned i = 0; i < kInFlight; ++i) {
    const auto n = static_cast<unsigned>(random_.below(opened_));
    restore(packets[i], frame_back(flow(n), size));
  }
}

}  // namespace hnv
