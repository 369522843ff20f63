// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gateway/nat_log.h"
#include "tests/support/frame.h"

namespace hnv {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::system_clock;

NatRecord block(NatRecord::Kind kind) {
  NatRecord record;
  record.kind = kind;
  record.first_port = be16{20480};
  record.last_port = be16{20543};
  record.inside = be32{ip4("10.0.1.11")};
  record.outside = be32{ip4("198.51.100.4")};
  return record;
}

const NatNames kNames{.domain = "contoso", .pool = "publicIPAddresses/shared"};
const auto kNoon = Clock::time_point(std::chrono::seconds(1'700'000'000));

TEST(NatLog, SaysWhoseABlockIs) {
  const Json line = Json::parse(
      to_line(block(NatRecord::Kind::block_given), kNames, kNoon, kNoon - std::chrono::hours(1)));
  EXPECT_EQ(line, (Json{{"event", "portBlockAllocated"},
                        {"time", "2023-11-14T22:13:20.000Z"},
                        {"routingDomain", "contoso"},
                        {"insideAddress", "10.0.1.11"},
                        {"publicAddress", "198.51.100.4"},
                        {"firstPort", 20480},
                        {"lastPort", 20543},
                        {"pool", "publicIPAddresses/shared"}}));
}

TEST(NatLog, SaysFromWhenToWhen) {
  const Json line = Json::parse(to_line(block(NatRecord::Kind::block_returned), kNames, kNoon,
                                        kNoon - std::chrono::minutes(1)));
  EXPECT_EQ(line["start"], "2023-11-14T22:12:20.000Z");
  EXPECT_EQ(line["end"], "2023-11-14T22:13:20.000Z");
}

TEST(NatLog, SaysWhoTalkedToWhom) {
  NatRecord record = block(NatRecord::Kind::session_ended);
  record.protocol = 6;
  record.reason = DropReason::nat_no_session;
  record.inside_port = be16{40000};
  record.remote = be32{ip4("192.0.2.80")};
  record.remote_port = be16{443};
  const Json line = Json::parse(to_line(record, kNames, kNoon, kNoon));
  EXPECT_EQ(line["protocol"], "TCP");
  EXPECT_EQ(line["insidePort"], 40000);
  EXPECT_EQ(line["publicPort"], 20480);
  EXPECT_EQ(line["remoteAddress"], "192.0.2.80");
  EXPECT_EQ(line["remotePort"], 443);
  EXPECT_EQ(line["reason"], "silent");
}

TEST(NatLog, WritesALineARecordToItsFile) {
  const std::string path = testing::TempDir() + "nat-log-" + std::to_string(getpid());
  {
    NatConfig config;
    config.log_file = path;
    NatLog log(config);
    for (int i = 0; i < 100; ++i) {
      log.write(block(NatRecord::Kind::block_given), kNames, Instant{1'000'000'000});
    }
    log.write(block(NatRecord::Kind::refused), kNames, Instant{1'000'000'000});  // no record
  }
  std::ifstream file(path);
  std::string line;
  int count = 0;
  while (std::getline(file, line)) {
    EXPECT_EQ(Json::parse(line)["event"], "portBlockAllocated");
    ++count;
  }
  EXPECT_EQ(count, 100);
  (void)std::remove(path.c_str());
}

TEST(NatLog, LeavesTheGatewaysOwnLogAlone) {
  const std::string path = testing::TempDir() + "nat-log-end-" + std::to_string(getpid());
  {
    NatConfig config;
    config.log_file = path;
    NatLog log(config);
    log.write(block(NatRecord::Kind::block_given), kNames, Instant{1'000'000'000});
  }
  ASSERT_NE(spdlog::default_logger(), nullptr);
  spdlog::info("still here");
  (void)std::remove(path.c_str());
}

TEST(NatLog, RefusesAFileItCannotWrite) {
  NatConfig config;
  config.log_file = "/proc/nowhere/nat.log";
  EXPECT_THROW(NatLog log(config), std::runtime_error);
}

}  // namespace
}  // namespace hnv
