// SPDX-License-Identifier: Apache-2.0
//
// Writes the frames of a case of bench_path as a capture, for peers that forward the same, and on
// stdout what such a peer has to be told: a line a fact.
//
//   hnv_write_capture nvgre FILE COMPARTMENTS RECORDS SIZE FLOWS random|zero(FlowIDs)
//     gateway PA MAC(fabric) MAC(in every virtual subnet)
//     host PA MAC                            each of the fabric
//     record VSID CA VSID PA MAC             packets of the first VSID for the CA leave with these
//   hnv_write_capture nat OUT BACK DOMAINS SESSIONS SIZE
//     the packets of bench_nat's sessions, as they go out and as they come back; besides the above
//     domain VSID ZONE ADDRESS               its packets leave from the address, ports kept
//     outside MAC MAC                        ours and the router's
//   hnv_write_capture ipv4 FILE DESTINATIONS FLOWS
//     plain UDP over IPv4 to 198.18.n.0/24, n below DESTINATIONS, in Ethernet of 64 bytes
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "compartments/checksum.h"
#include "tests/bench/frames.h"
#include "tests/bench/nat_world.h"
#include "tests/bench/world.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr unsigned kFlowIdAt = 41;                  // of an NVGRE frame over IPv4
constexpr uint32_t kBenchmarkNetwork = 0xc6120000;  // 198.18.0.0/15, RFC 2544

class Capture {
 public:
  explicit Capture(const char* path) : file_(std::fopen(path, "wb")) {
    if (file_ == nullptr) stop(fmt::format("cannot write {}", path));
    const uint32_t header[] = {0xa1b2c3d4, 2 | 4U << 16, 0, 0, 65535, 1};
    put(header, sizeof header);
  }
  ~Capture() { std::fclose(file_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Zeros behind the headers.
  void add(const Frame& frame) {
    const uint32_t header[] = {0, 0, frame.length, frame.length};
    put(header, sizeof header);
    std::vector<uint8_t> bytes(frame.length);
    std::memcpy(bytes.data(), frame.bytes, std::min<size_t>(frame.length, kHeaderBytes));
    put(bytes.data(), bytes.size());
  }

 private:
  void put(const void* bytes, size_t count) {
    if (std::fwrite(bytes, 1, count, file_) != count) stop("the capture cannot be written");
  }
  std::FILE* file_;
};

unsigned number(const char* text) {
  unsigned value = 0;
  const std::string_view all(text);
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc{} || end != all.data() + all.size() || value == 0) {
    stop(fmt::format("'{}' is no number above 0", text));
  }
  return value;
}

std::string dotted(uint32_t a) {
  return fmt::format("{}.{}.{}.{}", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

void print_facts(const World& world) {
  fmt::print("gateway {} {} {}\n", dotted(kOurPa), kFabricMac.to_string(), kGatewayMac.to_string());
  for (unsigned host = 0; host < kHosts; ++host) {
    fmt::print("host {} {}\n", dotted(host_of(host)), mac_of(host).to_string());
  }
  for (unsigned domain = 0; domain < world.size().compartments; ++domain) {
    for (unsigned record = 0; record < world.records_per_domain(); ++record) {
      fmt::print("record {} {} {} {} {}\n", World::gateway_vsid(domain), dotted(kFirstVm + record),
                 World::machines_vsid(domain), dotted(host_of(record)), mac_of(record).to_string());
    }
  }
}

void nvgre(char** arguments) {
  const Size size{number(arguments[1]), number(arguments[2])};
  const World world(size);
  Capture capture(arguments[0]);
  const bool zero = arguments[5] == std::string_view("zero");
  for (Frame& frame :
       make_frames(world, Path::nvgre_to_nvgre, number(arguments[3]), number(arguments[4]))) {
    if (zero) frame.bytes[kFlowIdAt] = 0;
    capture.add(frame);
  }
  print_facts(world);
}

void nat(char** arguments) {
  const unsigned domains = number(arguments[2]);
  const NatWorld sessions(domains, number(arguments[3]));
  const unsigned size = number(arguments[4]);
  Capture out(arguments[0]);
  Capture back(arguments[1]);
  for (unsigned n = 0; n < sessions.sessions(); ++n) {
    NatFlow flow = sessions.flow(n);
    out.add(frame_out(sessions.world(), flow, size));
    flow.outside = kFirstPublic + flow.domain;
    flow.outside_port = flow.inside_port;
    back.add(frame_back(flow, size));
  }
  print_facts(sessions.world());
  for (unsigned domain = 0; domain < domains; ++domain) {
    fmt::print("domain {} {} {}\n", World::gateway_vsid(domain), domain + 1,
               dotted(kFirstPublic + domain));
  }
  fmt::print("outside {} {}\n", kWanMac.to_string(), kPeerMac.to_string());
}

void plain_ipv4(char** arguments) {
  Capture capture(arguments[0]);
  const unsigned networks = number(arguments[1]);
  const unsigned flows = number(arguments[2]);
  Random random(7);
  for (unsigned i = 0; i < flows; ++i) {
    Frame frame;
    const wire::Ethernet ethernet{wire::Mac::of(kFabricMac), wire::Mac::of(kPeerMac),
                                  wire::ether_type::kIpv4};
    wire::Ipv4 ip{.version_ihl = 0x45,
                  .tos = 0,
                  .total_length = be16{46},
                  .id = be16{0},
                  .fragment = be16{0},
                  .ttl = 64,
                  .protocol = wire::ip_protocol::kUdp,
                  .checksum = be16{0},
                  .source = be32{kServer},
                  .destination = be32{kBenchmarkNetwork + (random.below(networks) << 8) + 1 +
                                      random.below(250)}};
    set_checksum(ip);
    const wire::Ports ports{be16{static_cast<uint16_t>(1024 + random.below(60000))}, be16{2000}};
    std::memcpy(frame.bytes, &ethernet, sizeof ethernet);
    std::memcpy(frame.bytes + sizeof ethernet, &ip, sizeof ip);
    std::memcpy(frame.bytes + sizeof ethernet + sizeof ip, &ports, sizeof ports);
    frame.length = 60;
    capture.add(frame);
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  if (kind == "nvgre" && argc == 8) {
    hnv::nvgre(argv + 2);
  } else if (kind == "nat" && argc == 7) {
    hnv::nat(argv + 2);
  } else if (kind == "ipv4" && argc == 5) {
    hnv::plain_ipv4(argv + 2);
  } else {
    hnv::stop(
        "hnv_write_capture nvgre FILE COMPARTMENTS RECORDS SIZE FLOWS random|zero, nat OUT BACK "
        "DOMAINS SESSIONS SIZE, or ipv4 FILE DESTINATIONS FLOWS");
  }
  return 0;
}
