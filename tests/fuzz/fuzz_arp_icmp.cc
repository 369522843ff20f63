// SPDX-License-Identifier: Apache-2.0
//
// What the gateway answers: ARP and ICMP, outside and inside, right and nearly right.
#include "tests/fuzz/fuzz_world.h"

namespace hnv {
namespace {

constexpr const char* kMacs[] = {
    kVm21Mac, kVm11Mac, kL2Mac, kPeerMac, "01:00:5e:00:00:01", "00:00:00:00:00:00"};
constexpr const char* kTo[] = {
    "ff:ff:ff:ff:ff:ff", kGatewayMac,         kFabricMac,          kPrivateMac,
    "02:00:00:00:00:c1", "02:00:00:00:00:c2", "02:00:00:00:00:99", kWanMac};
constexpr const char* kAddresses[] = {"10.0.2.1",     "10.0.2.21",   "10.0.1.11",     "10.0.1.1",
                                      "10.0.0.2",     "192.168.7.1", "192.168.7.254", "192.168.9.1",
                                      "192.168.9.50", "10.250.0.1",  "10.250.0.11",   "192.0.2.1",
                                      "0.0.0.0",      "8.8.8.8"};
constexpr uint32_t kVsids[] = {5000, 5001, 5002, 5003, 6000, 6001, 6002, 6003};
constexpr uint16_t kVlans[] = {0, 50, 30, 31, 32};

Frame arp_of(Choices& c) {
  return arp_request(c.among(kMacs), c.among(kAddresses), c.among(kAddresses))
      .with([&](ArpLayer& l) {
        if (c.one_in(4)) l.operation = c.byte() % 4;
        if (c.one_in(16)) l.hardware_type = c.word();
        if (c.one_in(16)) l.protocol_type = c.word();
        if (c.one_in(16)) l.hardware_bytes = c.byte();
        if (c.one_in(16)) l.protocol_bytes = c.byte();
      });
}

Frame icmp_of(Choices& c) {
  Frame quoted = c.one_in(2) ? vm_udp() : Frame(payload(c.byte()));
  return Frame(ip(c.among(kAddresses), c.among(kAddresses)).with([&](IpLayer& l) {
           if (c.one_in(4)) l.ttl = c.byte();
           if (c.one_in(8)) l.fragment = c.word();
         })) /
         icmp(c.one_in(2) ? 8 : c.byte(), c.byte() % 16).with([&](IcmpLayer& l) {
           if (c.one_in(8)) l.checksum = c.word();
         }) /
         quoted;
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  Choices c(data, size);
  const unsigned port = c.byte() & 1U;
  const Frame message = c.one_in(2) ? arp_of(c) : icmp_of(c);
  Frame frame(eth(c.among(kTo), c.among(kMacs)));
  const uint16_t id = c.among(kVlans);
  if (id != 0) frame = frame / vlan(id);
  if (c.one_in(2)) {  // inside NVGRE
    const bool far = id == 50;
    frame =
        Frame(eth(kFabricMac, kVm11Mac)) / (far ? Frame(vlan(50)) : Frame(raw({}))) /
        ip(c.one_in(2) ? "10.250.0.12" : "10.250.0.11", c.one_in(2) ? "10.250.0.2" : "10.250.0.1") /
        gre(c.among(kVsids)) / eth(c.among(kTo), c.among(kMacs));
  }
  Bytes bytes = (frame / message).padded(c.byte() % 32).bytes();
  spoil(bytes, c);
  fuzz_world().send(port, std::move(bytes));
  return 0;
}
