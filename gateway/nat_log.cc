// SPDX-License-Identifier: Apache-2.0
#include "gateway/nat_log.h"

#include <stdexcept>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/syslog_sink.h>

#include "compartments/address.h"

namespace hnv {
namespace {

constexpr size_t kLinesWaiting = 65536;
constexpr Duration kTellAgain = std::chrono::minutes(1);

std::string text(be32 address) {
  return IpAddress<Space::external>(Ip4<Space::external>(address.value())).to_string();
}

std::string time_text(std::chrono::system_clock::time_point at) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch());
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(at)), ms.count() % 1000);
}

std::string_view event_of(NatRecord::Kind kind) {
  switch (kind) {
    case NatRecord::Kind::block_given:
      return "portBlockAllocated";
    case NatRecord::Kind::block_returned:
      return "portBlockReleased";
    case NatRecord::Kind::session_opened:
      return "sessionOpened";
    case NatRecord::Kind::session_ended:
      return "sessionEnded";
    case NatRecord::Kind::refused:
      return "refused";
  }
  return "";
}

// Why a session ended, in NAT's words.
std::string_view ending(DropReason reason) {
  if (reason == DropReason::nat_no_session) return "silent";
  return reason == DropReason::nat_no_rule ? "rules" : "operator";
}

}  // namespace

std::string protocol_text(uint8_t protocol) {
  if (protocol == wire::ip_protocol::kTcp) return "TCP";
  if (protocol == wire::ip_protocol::kUdp) return "UDP";
  return protocol == wire::ip_protocol::kIcmp ? "ICMP" : std::to_string(protocol);
}

std::string to_line(const NatRecord& r, const NatNames& names,
                    std::chrono::system_clock::time_point at,
                    std::chrono::system_clock::time_point started) {
  nlohmann::ordered_json line;
  line["event"] = event_of(r.kind);
  line["time"] = time_text(at);
  line["routingDomain"] = names.domain;
  line["insideAddress"] = text(r.inside);
  line["publicAddress"] = text(r.outside);
  const bool session =
      r.kind == NatRecord::Kind::session_opened || r.kind == NatRecord::Kind::session_ended;
  if (session) {
    line["protocol"] = protocol_text(r.protocol);
    line["insidePort"] = r.inside_port.value();
    line["publicPort"] = r.first_port.value();
    line["remoteAddress"] = text(r.remote);
    line["remotePort"] = r.remote_port.value();
  } else {
    line["firstPort"] = r.first_port.value();
    line["lastPort"] = r.last_port.value();
    line["pool"] = names.pool;
  }
  if (r.kind == NatRecord::Kind::session_opened)
    line["openedBy"] = r.from_outside ? "outside" : "inside";
  if (r.kind == NatRecord::Kind::session_ended) line["reason"] = ending(r.reason);
  if (r.kind == NatRecord::Kind::session_ended || r.kind == NatRecord::Kind::block_returned) {
    line["start"] = time_text(started);
    line["end"] = time_text(at);
  }
  return line.dump();
}

NatLog::NatLog(const NatConfig& config) {
  std::vector<spdlog::sink_ptr> sinks;
  try {
    if (config.log_file) {
      sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(*config.log_file));
    }
    if (config.log_to_syslog) {
      sinks.push_back(
          std::make_shared<spdlog::sinks::syslog_sink_mt>("hnv-gateway-nat", 0, LOG_LOCAL0, false));
    }
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error(fmt::format("nat.log: {}", error.what()));
  }
  if (sinks.empty()) return;
  for (const auto& sink : sinks) sink->set_pattern("%v");
  writer_ = std::make_shared<spdlog::details::thread_pool>(kLinesWaiting, 1);
  logger_ = std::make_shared<spdlog::async_logger>("nat", sinks.begin(), sinks.end(), writer_,
                                                   spdlog::async_overflow_policy::overrun_oldest);
  logger_->flush_on(spdlog::level::info);
}

// The writer ends when it has written everything. Its own: spdlog's shutdown would end every log.
NatLog::~NatLog() = default;

size_t NatLog::lost() const { return writer_ ? writer_->overrun_counter() : 0; }

void NatLog::write(const NatRecord& record, const NatNames& names, Instant now) {
  if (record.kind == NatRecord::Kind::refused) return refused(record, names);
  const auto wall = std::chrono::system_clock::now();
  const auto at =
      wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - record.at);
  const auto started =
      wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - record.started);
  const std::string line = to_line(record, names, at, started);
  if (logger_) {
    logger_->info(line);
  } else {
    spdlog::info("NAT: {}", line);
  }
}

// An operator is told once a minute; how often it happens, counters say.
void NatLog::refused(const NatRecord& record, const NatNames& names) {
  const auto key = std::pair(names.domain, record.reason);
  const auto told = told_.find(key);
  if (told != told_.end() && record.at < told->second + kTellAgain) return;
  told_[key] = record.at;
  std::erase_if(told_,
                [&](const auto& entry) { return entry.second + 2 * kTellAgain < record.at; });
  spdlog::warn("routingDomains/{}: NAT refuses new flows, the first of {}: {} ({}){}{}",
               names.domain, text(record.inside), to_string(record.reason), explain(record.reason),
               names.pool.empty() ? "" : "; pool ", names.pool);
}

}  // namespace hnv
