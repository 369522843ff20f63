// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/scene.h"

#include <nlohmann/json.hpp>

namespace hnv {
namespace {

using Json = nlohmann::ordered_json;

void put(Json& json, const std::string& name, uint64_t value) {
  if (value != 0) json[name] = value;
}

Json of_tenant(const CompartmentCounters& c) {
  Json json = Json::object();
  put(json, "inPackets", c.in_packets.value());
  put(json, "inBytes", c.in_bytes.value());
  put(json, "outPackets", c.out_packets.value());
  put(json, "outBytes", c.out_bytes.value());
  put(json, "l3InPackets", c.l3_in_packets.value());
  put(json, "l3InBytes", c.l3_in_bytes.value());
  put(json, "l3OutPackets", c.l3_out_packets.value());
  put(json, "l3OutBytes", c.l3_out_bytes.value());
  put(json, "originated", c.originated.value());
  json["drops"] = Json::object();
  for (size_t i = 0; i < kDropReasons; ++i) {
    put(json["drops"], std::string(to_string(static_cast<DropReason>(i))), c.drops[i].value());
  }
  return json;
}

Json of_worker(const WorkerCounters& c) {
  Json json = Json::object();
  put(json, "rx", c.rx.value());
  put(json, "tx", c.tx.value());
  put(json, "punts", c.punts.value());
  json["drops"] = Json::object();
  for (size_t i = 0; i < kDropReasons; ++i) {
    put(json["drops"], std::string(to_string(static_cast<DropReason>(i))), c.drops[i].value());
  }
  json["originated"] = Json::object();
  for (size_t i = 0; i < kOriginReasons; ++i) {
    put(json["originated"], std::string(to_string(static_cast<OriginReason>(i))),
        c.originated[i].value());
  }
  json["consumed"] = Json::object();
  for (size_t i = 0; i < kConsumeReasons; ++i) {
    put(json["consumed"], std::string(to_string(static_cast<ConsumeReason>(i))),
        c.consumed[i].value());
  }
  json["stations"] = Json::object();
  for (size_t i = 0; i < kStages; ++i) {
    put(json["stations"], std::string(to_string(static_cast<Stage>(i))),
        c.stations[i].packets.value());
  }
  return json;
}

}  // namespace

std::string golden(const std::string& scene, const std::string& what) {
  return std::string(HNV_GOLDEN) + "/" + scene + "." + what;
}

SceneResult play(const std::vector<PcapRecord>& in) {
  TestLine line;
  SceneResult result;
  size_t next = 0;
  for (uint32_t breath = 0, quiet = 0; quiet < 3; ++breath) {
    const size_t before = next;
    for (; next < in.size() && in[next].breath <= breath && line.line().room() > 0; ++next) {
      line.receive(in[next].port, in[next].frame);
    }
    for (Sent& sent : line.breathe()) {
      result.sent.push_back({breath, sent.port, std::move(sent.frame)});
    }
    line.network().clock().advance(std::chrono::microseconds(10));
    quiet = next == before && next == in.size() ? quiet + 1 : 0;
  }
  Json json = {{"worker", of_worker(line.line().counters())}};
  for (const Tenant& tenant : kTwins) {
    json[tenant.name] = of_tenant(line.network().counters(tenant.name));
  }
  result.counters = json.dump(2) + "\n";
  result.fault = line.fault();
  return result;
}

}  // namespace hnv
