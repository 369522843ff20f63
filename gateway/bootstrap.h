// SPDX-License-Identifier: Apache-2.0
//
// The bootstrap file: what the process needs before it can be managed: cores, memory, ports,
// sockets, the store. Everything else comes through the API and lives in the store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/server.h"
#include "compartments/result.h"

namespace hnv {

enum class HugepageUse : uint8_t { automatic, on, off };

struct PortConfig {
  std::string name;
  std::string device;   // a PCI address, or a DPDK vdev with its arguments
  uint16_t mtu = 1500;  // largest IP packet
};

struct NatConfig {
  // At most so many sessions a worker, 1024 to 2^26. Memory is taken as they come: some 160 bytes
  // each.
  uint32_t sessions = 4'194'304;
  // Where records of port blocks and sessions go, a JSON object a line: this file, the system log.
  // Neither: the gateway's own log.
  std::optional<std::string> log_file;
  bool log_to_syslog = false;
};

// IKE for tunnels: strongSwan's charon, which the gateway starts and watches. Needs root.
struct IpsecConfig {
  std::string charon = "/usr/sbin/charon-systemd";
  std::string user = "nobody";  // charon's; it has a primary group of its own
  // Its sockets and configuration; made, and taken away at the end. Default: "ike" in the runtime
  // directory.
  std::optional<std::string> folder;
  // Where our plugin lies when it is not installed: mounted over charon's own folder. For tests.
  std::optional<std::string> plugins;
};

// BGP: FRR's bgpd, which the gateway starts and watches. Needs root.
struct BgpConfig {
  std::string bgpd = "/usr/lib/frr/bgpd";
  std::string user = "nobody";  // bgpd's; it has a primary group of its own
  // Where its sockets are, with a number behind it; made. Default: "bgp" in the runtime directory.
  std::optional<std::string> folder;
  uint32_t processes = 1;  // 1 to 16: each serves at most 500 routing domains
};

struct Bootstrap {
  // Processors. A worker that sleeps when idle (not busy_poll) may share the control thread's.
  unsigned control_lcore = 0;
  std::vector<unsigned> worker_lcores{1};  // one worker each, 1 to 32, no two alike
  uint32_t memory_megabytes = 512;
  HugepageUse hugepages = HugepageUse::automatic;
  uint32_t packet_buffers = 32768;
  bool busy_poll = false;
  std::vector<PortConfig> ports;
  std::string store = "/var/lib/hnv-gateway/store.db";
  std::string runtime_directory = "/run/hnv-gateway";
  ApiConfig api;
  NatConfig nat;
  std::optional<IpsecConfig> ipsec;  // absent: tunnels stay down
  std::optional<BgpConfig> bgp;      // absent: BGP routers stay idle
  std::string log_level = "info";
};

// Every fault of the text at once, with JSON pointers.
[[nodiscard]] Result<Bootstrap> parse_bootstrap(std::string_view text);
// Reads and parses a file; the error names it.
[[nodiscard]] Result<Bootstrap> load_bootstrap(const std::string& path);

}  // namespace hnv
