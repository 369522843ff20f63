// SPDX-License-Identifier: Apache-2.0
//
// What IPsec costs: packets of tunnels that are drawn evenly, to the sites and back, through the
// product's own stations as in bench_path; and the library alone on the same buffers, with as many
// keys.
//
//   nvgre_to_ipsec, ipsec_to_nvgre   tsc_per_packet, and gigabits_per_second of inner packets at
//   it;
//                                    times_raw: divided by the library's own
//   raw_seal, raw_open               the library alone: one call a packet, or a vector's jobs
//
//   rate_limit                       the same of tunnels at their limits: half a vector comes in a
//                                    breath, each packet waits and 19 in 20 may pass;
//                                    tsc_per_packet is of those, and times_unlimited their p10 by
//                                    that of tunnels without a rate (limits:off), to which as much
//                                    comes, in as many buffers
//
// size: bytes of the inner IP packet. limits: whether tunnels have a rate (which suffices, but in
// rate_limit). HNV_BENCH_FULL=1 in the environment: every case.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/ipsec_world.h"
#include "tests/bench/passes.h"

namespace hnv {
namespace {

struct Case {
  IpsecShape shape;
  unsigned size = 0;
  SaDirection direction = SaDirection::outbound;
};

const char* name_of(BenchCipher cipher) {
  return cipher == BenchCipher::aes256gcm ? "aes256gcm" : "aes256cbc-sha256";
}

// The cases come world by world.
IpsecWorld& world_of(const IpsecShape& wanted) {
  static std::pair<std::string, std::unique_ptr<IpsecWorld>> kept;
  const std::string name =
      fmt::format("{}/{}/{}/{}/{}", wanted.tunnels, name_of(wanted.cipher),
                  static_cast<unsigned>(wanted.limits), wanted.size, wanted.paced);
  if (kept.first != name) {
    kept.second.reset();
    kept = {name, std::make_unique<IpsecWorld>(wanted)};
  }
  return *kept.second;
}

// Medians of the library alone, by what was asked of it.
std::map<std::string, double>& raw_figures() {
  static std::map<std::string, double> figures;
  return figures;
}
std::string raw_name(const Case& c) {
  return fmt::format("{}/keys:{}/cipher:{}/size:{}",
                     c.direction == SaDirection::outbound ? "raw_seal" : "raw_open",
                     c.shape.tunnels, name_of(c.shape.cipher), c.size);
}

void run_raw(benchmark::State& state, const Case& c) {
  const bool seals = c.direction == SaDirection::outbound;
  Packets packets;
  EspTransform transform;
  std::vector<std::shared_ptr<EspKeys>> keys;
  for (unsigned i = 0; i < c.shape.tunnels; ++i) {
    keys.push_back(EspKeys::make(IpsecWorld::spec(c.shape, i, c.direction)));
  }
  Random random(5);
  std::vector<EspJob> jobs(kInFlight);
  bool good[kVector];
  const uint32_t bytes = (c.size + 2 + 15) / 16 * 16;
  for (unsigned i = 0; i < kInFlight; ++i) {
    jobs[i] = {.keys = keys[random.below(keys.size())].get(),
               .esp = rte_pktmbuf_mtod_offset(packets[i], uint8_t*, 34),
               .bytes = bytes};
  }
  measure(
      state, [] {},
      [&] {
        for (unsigned base = 0; base < kInFlight; base += kVector) {
          if (seals) {
            transform.seal(&jobs[base], kVector);
          } else {
            transform.open(&jobs[base], kVector, good);
          }
        }
      });
  raw_figures()[raw_name(c)] = state.counters["tsc_per_packet"];
}

// p10 of tunnels without limits.
std::map<std::string, double>& unlimited_figures() {
  static std::map<std::string, double> figures;
  return figures;
}
std::string unlimited_name(const Case& c) {
  return fmt::format("{}/{}/{}/{}", static_cast<int>(c.direction), c.shape.tunnels,
                     name_of(c.shape.cipher), c.size);
}

void run(benchmark::State& state, const Case& c) {
  IpsecWorld& world = world_of(c.shape);
  Packets packets;
  const bool out = c.direction == SaDirection::outbound;
  measure(
      state,
      [&] {
        if (out) {
          world.fill_out(packets, c.size);
        } else {
          world.fill_in(packets, c.size);
        }
      },
      [&] {
        if (out) {
          world.forward(packets, kFabricPort, 1);
        } else {
          world.forward(packets, kWanPort, 0);
        }
      });
  const double cost = state.counters["tsc_per_packet"];
  state.counters["gigabits_per_second"] =
      static_cast<double>(rte_get_tsc_hz()) / cost * c.size * 8 / 1e9;
  if (const auto raw = raw_figures().find(raw_name(c)); raw != raw_figures().end()) {
    state.counters["times_raw"] = cost / raw->second;
  }
  expect_no_loss(state, world.line());
}

// The last round of a process counts; by then the queues stand.
void run_paced(benchmark::State& state, const Case& c) {
  IpsecWorld& world = world_of(c.shape);
  Packets packets;
  const bool out = c.direction == SaDirection::outbound;
  const auto fill = [&] {
    world.take_back(packets);
    if (out) {
      world.fill_out(packets, c.size);
    } else {
      world.fill_in(packets, c.size);
    }
  };
  const auto pass = [&] { world.forward(packets, out ? kFabricPort : kWanPort, out ? 1 : 0); };
  constexpr unsigned kPassesToFill = 40;  // to exceed every burst and fill the queues
  for (unsigned i = 0; i < kPassesToFill * std::max(1U, c.shape.tunnels / 500); ++i) {
    fill();
    pass();
  }
  (void)world.forwarded();
  const uint64_t before = world.line().counters().rx.value();
  measure(state, fill, pass);
  const uint64_t offered = world.line().counters().rx.value() - before;
  const double share = static_cast<double>(world.forwarded()) / static_cast<double>(offered);
  for (const char* figure : {"tsc_per_packet", "p10", "p90"}) {
    state.counters[figure] = state.counters[figure] / share;
  }
  state.counters["passed"] = share;
  state.counters["waiting"] = static_cast<double>(world.line().held());
  if (c.shape.limits == BenchLimits::off) {
    unlimited_figures()[unlimited_name(c)] = state.counters["p10"];
  } else if (const auto base = unlimited_figures().find(unlimited_name(c));
             base != unlimited_figures().end()) {
    state.counters["times_unlimited"] = state.counters["p10"] / base->second;
  }
  world.take_back(packets);
  if (!sum(world.line().counters(), world.line().held()).balanced()) {
    state.SkipWithError("the ledger does not hold");
  }
}

void add_paced(Case c) {
  for (const BenchLimits limits : {BenchLimits::off, BenchLimits::exceeded}) {
    c.shape.limits = limits;
    c.shape.size = c.size;
    c.shape.paced = true;
    const std::string name = fmt::format(
        "rate_limit/{}/tunnels:{}/cipher:{}/size:{}{}",
        c.direction == SaDirection::outbound ? "nvgre_to_ipsec" : "ipsec_to_nvgre", c.shape.tunnels,
        name_of(c.shape.cipher), c.size, limits == BenchLimits::off ? "/limits:off" : "");
    benchmark::RegisterBenchmark(name.c_str(), run_paced, c)->UseManualTime()->MinTime(0.2);
  }
}

void add(const Case& c) {
  benchmark::RegisterBenchmark(raw_name(c).c_str(), run_raw, c)->UseManualTime()->MinTime(0.1);
  const std::string name = fmt::format(
      "{}/tunnels:{}/cipher:{}/size:{}{}",
      c.direction == SaDirection::outbound ? "nvgre_to_ipsec" : "ipsec_to_nvgre", c.shape.tunnels,
      name_of(c.shape.cipher), c.size, c.shape.limits == BenchLimits::off ? "/limits:off" : "");
  benchmark::RegisterBenchmark(name.c_str(), run, c)->UseManualTime()->MinTime(0.2);
}

void register_all(bool full) {
  for (const unsigned tunnels : {1U, 200U, 2000U}) {
    for (const BenchCipher cipher : {BenchCipher::aes256gcm, BenchCipher::aes256cbc_sha256}) {
      for (const BenchLimits limits : {BenchLimits::suffice, BenchLimits::off}) {
        if (!full && limits == BenchLimits::off &&
            (tunnels != 2000 || cipher != BenchCipher::aes256gcm)) {
          continue;
        }
        if (!full && cipher != BenchCipher::aes256gcm && tunnels == 200) continue;
        for (const unsigned size : {64U, 512U, 1420U}) {
          for (const SaDirection direction : {SaDirection::outbound, SaDirection::inbound}) {
            add({.shape = {.tunnels = tunnels, .cipher = cipher, .limits = limits},
                 .size = size,
                 .direction = direction});
          }
        }
      }
    }
  }
  for (const unsigned tunnels : {1U, 2000U}) {
    if (!full && tunnels != 2000) continue;
    for (const unsigned size : {64U, 512U, 1420U}) {
      for (const SaDirection direction : {SaDirection::outbound, SaDirection::inbound}) {
        add_paced({.shape = {.tunnels = tunnels}, .size = size, .direction = direction});
      }
    }
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  hnv::start_eal("hnv_bench_ipsec", "1", 64);
  benchmark::Initialize(&argc, argv);
  hnv::register_all(std::getenv("HNV_BENCH_FULL") != nullptr);
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
