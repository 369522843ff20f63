// SPDX-License-Identifier: Apache-2.0
#include "gateway/bootstrap.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "api/json_decode.h"
#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr Words<HugepageUse, 3> kHugepageWords{
    {{"auto", HugepageUse::automatic}, {"on", HugepageUse::on}, {"off", HugepageUse::off}}};
constexpr Words<std::string_view, 5> kLogLevels{{{"debug", "debug"},
                                                 {"info", "info"},
                                                 {"warning", "warning"},
                                                 {"error", "error"},
                                                 {"off", "off"}}};
constexpr uint64_t kMaxLcore = 127;      // RTE_MAX_LCORE of Debian's DPDK
constexpr size_t kMaxWorkers = 32;       // a ring for each pair
constexpr uint64_t kMaxFrameMtu = 9600;  // what common ports and our buffers carry

struct Boolean {
  void operator()(const Place& place, const Json& json, Faults& faults, bool& out) const {
    if (!json.is_boolean()) return faults.invalid(place, "must be true or false");
    out = json.get<bool>();
  }
};

struct LogLevel {
  void operator()(const Place& place, const Json& json, Faults& faults, std::string& out) const {
    std::string_view level;
    OneOf{kLogLevels}(place, json, faults, level);
    if (!level.empty()) out = level;
  }
};

struct LcoresReader {
  void operator()(const Place& place, const Json& json, Faults& faults, Bootstrap& out) const {
    ObjectReader in(place, json, faults);
    in.optional("control", out.control_lcore, WholeNumber{0, kMaxLcore});
    in.optional("workers", out.worker_lcores, ListOf{WholeNumber{0, kMaxLcore}, kMaxWorkers});
    in.finish();
    if (out.worker_lcores.empty()) in.invalid("workers", "must name at least one lcore");
    std::set<unsigned> seen;
    for (const unsigned lcore : out.worker_lcores) {
      if (!seen.insert(lcore).second) {
        in.invalid("workers", fmt::format("names lcore {} twice: one worker each", lcore));
      }
    }
  }
};

struct MemoryReader {
  void operator()(const Place& place, const Json& json, Faults& faults, Bootstrap& out) const {
    ObjectReader in(place, json, faults);
    in.optional("megabytes", out.memory_megabytes, WholeNumber{64, 1'048'576});
    in.optional("hugepages", out.hugepages, OneOf{kHugepageWords});
    in.optional("packetBuffers", out.packet_buffers, WholeNumber{2048, 16'777'216});
    in.finish();
  }
};

struct PortReader {
  void operator()(const Place& place, const Json& json, Faults& faults, PortConfig& out) const {
    ObjectReader in(place, json, faults);
    in.required("name", out.name, kNameReader);
    in.required("device", out.device, Text{1024});
    in.optional("mtu", out.mtu, WholeNumber{576, kMaxFrameMtu});
    in.finish();
  }
};

struct TcpReader {
  void operator()(const Place& place, const Json& json, Faults& faults, ApiTcpConfig& out) const {
    ObjectReader in(place, json, faults);
    in.required("address", out.address, Text{64});
    in.required("port", out.port, WholeNumber{1, 65535});
    in.required("tokenFile", out.token_file, Text{4096});
    in.optional("allowedHosts", out.allowed_hosts, ListOf{Text{256}, 64});
    in.optional("tlsCertificateFile", out.tls_certificate_file, Text{4096});
    in.optional("tlsKeyFile", out.tls_key_file, Text{4096});
    in.optional("openMetrics", out.open_metrics, Boolean{});
    in.finish();
  }
};

struct ApiReader {
  void operator()(const Place& place, const Json& json, Faults& faults, Bootstrap& out) const {
    ObjectReader in(place, json, faults);
    in.optional("socket", out.api.socket_path, Text{107});  // sun_path
    in.optional("tcp", out.api.tcp, TcpReader{});
    in.finish();
  }
};

struct NatLogReader {
  void operator()(const Place& place, const Json& json, Faults& faults, NatConfig& out) const {
    ObjectReader in(place, json, faults);
    in.optional("file", out.log_file, Text{4096});
    in.optional("syslog", out.log_to_syslog, Boolean{});
    in.finish();
  }
};

struct NatReader {
  void operator()(const Place& place, const Json& json, Faults& faults, NatConfig& out) const {
    ObjectReader in(place, json, faults);
    in.optional("sessions", out.sessions, WholeNumber{1024, 1U << 26});
    in.optional("log", out, NatLogReader{});
    in.finish();
  }
};

struct AbsolutePath {
  void operator()(const Place& place, const Json& json, Faults& faults, std::string& out) const {
    Text{4096}(place, json, faults, out);
    if (json.is_string() && !out.starts_with('/')) {
      faults.invalid(place, "must be an absolute path");
    }
  }
};

struct IpsecSectionReader {
  void operator()(const Place& place, const Json& json, Faults& faults, IpsecConfig& out) const {
    ObjectReader in(place, json, faults);
    in.optional("charon", out.charon, AbsolutePath{});
    in.optional("user", out.user, kNameReader);
    in.optional("folder", out.folder, AbsolutePath{});
    in.optional("plugins", out.plugins, AbsolutePath{});
    in.finish();
  }
};

struct BgpSectionReader {
  void operator()(const Place& place, const Json& json, Faults& faults, BgpConfig& out) const {
    ObjectReader in(place, json, faults);
    in.optional("bgpd", out.bgpd, AbsolutePath{});
    in.optional("user", out.user, kNameReader);
    in.optional("folder", out.folder, AbsolutePath{});
    in.optional("processes", out.processes, WholeNumber{1, 16});
    in.finish();
  }
};

struct LogReader {
  void operator()(const Place& place, const Json& json, Faults& faults, Bootstrap& out) const {
    ObjectReader in(place, json, faults);
    in.optional("level", out.log_level, LogLevel{});
    in.finish();
  }
};

void check_ports(const Bootstrap& out, ObjectReader& in) {
  std::set<std::string> names;
  std::set<std::string> devices;
  if (out.ports.empty()) in.invalid("ports", "must name at least one port");
  for (const PortConfig& port : out.ports) {
    if (!names.insert(port.name).second) {
      in.invalid("ports", fmt::format("two ports are called {}", port.name));
    }
    if (!devices.insert(port.device).second) {
      in.invalid("ports", fmt::format("two ports use the device {}", port.device));
    }
  }
}

// A worker that never sleeps leaves the control thread next to nothing of their lcore.
void check_lcores(const Bootstrap& out, ObjectReader& in) {
  const auto& workers = out.worker_lcores;
  if (out.busy_poll &&
      std::find(workers.begin(), workers.end(), out.control_lcore) != workers.end()) {
    in.invalid("lcores",
               fmt::format("the control lcore {} cannot be a worker's as well while busyPoll is on",
                           out.control_lcore));
  }
}

}  // namespace

Result<Bootstrap> parse_bootstrap(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return tl::make_unexpected(json.error());
  Bootstrap out;
  Faults faults;
  const Place root;
  ObjectReader in(root, *json, faults);
  in.optional("lcores", out, LcoresReader{});
  in.optional("memory", out, MemoryReader{});
  in.optional("busyPoll", out.busy_poll, Boolean{});
  in.required("ports", out.ports, ListOf{PortReader{}, 64});
  in.optional("store", out.store, Text{4096});
  in.optional("runtimeDirectory", out.runtime_directory, Text{4096});
  in.optional("api", out, ApiReader{});
  in.optional("log", out, LogReader{});
  in.optional("nat", out.nat, NatReader{});
  in.optional("ipsec", out.ipsec, IpsecSectionReader{});
  in.optional("bgp", out.bgp, BgpSectionReader{});
  in.finish();
  if (faults.empty()) {
    check_ports(out, in);
    check_lcores(out, in);
  }
  if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
  if (auto fault = fault_of(out.api)) {
    return fail(ErrorCode::invalid_value, std::move(*fault), "/api");
  }
  return out;
}

Result<Bootstrap> load_bootstrap(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return fail(ErrorCode::invalid_value,
                fmt::format("cannot read {}: {}", path, std::strerror(errno)), path);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return parse_bootstrap(text.str());
}

}  // namespace hnv
