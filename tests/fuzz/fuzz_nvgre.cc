// SPDX-License-Identifier: Apache-2.0
//
// NVGRE that is nearly right: each byte of the input chooses among what is, or is almost, allowed,
// so that the fuzzer gets past the checksums and into the compartments.
#include "tests/fuzz/fuzz_world.h"

namespace hnv {
namespace {

constexpr const char* kPas[] = {"10.250.0.11", "10.250.0.12", "10.250.0.77", "10.251.0.13",
                                "10.250.0.1",  "10.252.0.13", "127.0.0.1"};
constexpr const char* kOurPas[] = {"10.250.0.1", "10.250.0.2", "10.252.0.1", "10.250.0.3"};
constexpr const char* kMacs[] = {kRouterMac, kVm11Mac, kVm12Mac,         kVm21Mac,
                                 kVm31Mac,   kL2Mac,   kOtherGatewayMac, kGatewayMac};
constexpr const char* kOurMacs[] = {kGatewayMac, "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01",
                                    kVm12Mac};
constexpr const char* kCas[] = {
    "10.0.1.11",  "10.0.1.12",       "10.0.1.13",    "10.0.2.21",   "10.0.3.31",    "10.0.1.33",
    "10.0.1.99",  "10.0.0.2",        "10.0.2.1",     "10.0.2.255",  "172.16.4.4",   "172.20.1.1",
    "172.21.1.1", "172.22.1.1",      "192.168.7.50", "192.168.7.1", "8.8.8.8",      "192.168.9.50",
    "0.0.0.0",    "255.255.255.255", "224.0.0.5",    "127.0.0.1",   "192.168.7.66", "10.0.0.77"};
constexpr uint32_t kVsids[] = {5000, 5001, 5002,  5003, 6000,     6001,    6002,
                               6003, 4096, 0xfff, 0,    0xfffffe, 0xffffff};

IpLayer inner_ip(Choices& c) {
  return ip(c.among(kCas), c.among(kCas)).with([&](IpLayer& l) {
    l.ttl = c.one_in(4) ? c.byte() : 64;
    if (c.one_in(8)) l.fragment = c.word();
    if (c.one_in(8)) l.options = Bytes(size_t{4} * (c.byte() % 11U), 1);
    if (c.one_in(16)) l.version_ihl = c.byte();
    if (c.one_in(16)) l.total_length = c.word();
    if (c.one_in(16)) l.checksum = c.word();
  });
}

Frame payload_of(Choices& c) {
  switch (c.byte() % 4) {
    case 0:
      return udp(c.word(), c.one_in(4) ? 67 : c.word());
    case 1:
      return tcp(c.word(), c.word());
    case 2:
      return icmp(c.byte(), c.byte());
    default:
      return raw(c.rest(8));
  }
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  Choices c(data, size);
  Frame frame(eth(kFabricMac, "02:00:00:00:00:11"));
  if (c.one_in(4)) frame = frame / vlan(50);
  frame = frame / ip(c.among(kPas), c.among(kOurPas)).with([&](IpLayer& l) {
    if (c.one_in(16)) l.fragment = c.word();
    if (c.one_in(16)) l.options = Bytes(size_t{4} * (c.byte() % 11U), 1);
  });
  frame = frame / gre(c.among(kVsids), c.byte()).with([&](GreLayer& l) {
    if (c.one_in(16)) l.flags = c.word();
    if (c.one_in(16)) l.protocol = c.word();
  });
  frame = frame / eth(c.among(kOurMacs), c.among(kMacs)).with([&](EthLayer& l) {
    if (c.one_in(16)) l.type = c.word();
  });
  if (c.one_in(16)) frame = frame / vlan(c.word());
  frame = frame / inner_ip(c) / payload_of(c) / payload(c.one_in(8) ? c.word() % 1700 : c.byte());
  Bytes bytes = frame.bytes();
  spoil(bytes, c);
  fuzz_world().send(kFabricPort, std::move(bytes));
  return 0;
}
