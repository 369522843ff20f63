// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "gateway/nat_state_file.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kServer = "192.0.2.80";

std::string fresh_path(const char* name) {
  return testing::TempDir() + "nat-sessions-" + name + "-" + std::to_string(getpid());
}

Result<NatKept> restore(NatNetwork& net, const std::string& path) {
  return restore_nat_sessions(path, *net.network().plane().nat, {&net.table()},
                              net.network().clock().now());
}
uint64_t save(NatNetwork& net, const std::string& path) {
  const auto saved = save_nat_sessions(path, *net.network().plane().nat, {&net.table()},
                                       net.network().clock().now());
  EXPECT_TRUE(saved.has_value());
  return saved.value_or(0);
}

TEST(NatStateFile, KeepsMappingsStatesAndAges) {
  const std::string path = fresh_path("kept");
  NatNetwork before;
  const NatPacket syn = before.one_from_vm(kContoso, nat_tcp(kVm, 40000, kServer, 443));
  (void)before.one_from_internet(reply_to(syn));
  (void)before.one_from_vm(kContoso, nat_tcp(kVm, 40000, kServer, 443, 16));
  const NatPacket query = before.one_from_vm(kFabrikam, nat_udp(kVm, 5353, kServer, 53));
  before.network().clock().advance(std::chrono::seconds(200));
  EXPECT_EQ(save(before, path), 2U);

  NatNetwork after;
  const auto kept = restore(after, path);
  ASSERT_TRUE(kept.has_value());
  EXPECT_TRUE(kept->found);
  EXPECT_EQ(kept->restored, 2U);
  EXPECT_EQ(kept->left_out, 0U);
  EXPECT_FALSE(std::filesystem::exists(path));  // never read twice
  NatPacket data = reply_to(syn);
  data.flags = 16;
  const auto in = after.from_internet(data);
  ASSERT_EQ(in.size(), 1U);
  EXPECT_EQ(in[0].where, "contoso");
  EXPECT_EQ(in[0].packet.to_port, 40000);
  const NatPacket again = after.one_from_vm(kFabrikam, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_EQ(std::pair(again.from, again.from_port), std::pair(query.from, query.from_port));
  // 200 of the 300 seconds of silence are over for a UDP session that says nothing.
  EXPECT_EQ(after.table().size(), 2U);
  after.wait(std::chrono::seconds(310));
  EXPECT_EQ(after.table().size(), 1U);  // TCP is established, and stays
  EXPECT_EQ(after.fault(), "");
}

TEST(NatStateFile, RespectsAges) {
  const std::string path = fresh_path("ages");
  NatNetwork before;
  (void)before.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  before.network().clock().advance(std::chrono::seconds(250));
  EXPECT_EQ(save(before, path), 1U);
  NatNetwork after;
  ASSERT_EQ(restore(after, path)->restored, 1U);
  after.wait(std::chrono::seconds(40));
  EXPECT_EQ(after.table().size(), 1U);
  after.wait(std::chrono::seconds(20));
  EXPECT_EQ(after.table().size(), 0U);
}

TEST(NatStateFile, LeavesOutWhatDoesNotFit) {
  const std::string path = fresh_path("unfit");
  NatNetwork before;
  (void)before.one_from_vm(kContoso, nat_udp(kVm, 5353, kServer, 53));
  (void)before.one_from_vm(kFabrikam, nat_udp(kVm, 5353, kServer, 53));
  EXPECT_EQ(save(before, path), 2U);
  NatNetwork after;
  after.nat(kContoso, R"({"outboundRules":[]})");
  const auto kept = restore(after, path);
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->restored, 1U);
  EXPECT_EQ(kept->left_out, 1U);
}

TEST(NatStateFile, IsFineWithoutOne) {
  NatNetwork net;
  const auto kept = restore(net, fresh_path("none"));
  ASSERT_TRUE(kept.has_value());
  EXPECT_FALSE(kept->found);
}

TEST(NatStateFile, RefusesWhatIsNone) {
  const std::string path = fresh_path("garbage");
  std::ofstream(path) << "this is no file of sessions, however long it may be, or is it?";
  NatNetwork net;
  const auto kept = restore(net, path);
  ASSERT_FALSE(kept.has_value());
  EXPECT_NE(kept.error().message.find(path), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(path));
  (void)std::remove(path.c_str());
}

// Cut anywhere, it restores what is whole and breaks nothing.
TEST(NatStateFile, SurvivesBeingCut) {
  const std::string path = fresh_path("cut");
  NatNetwork before;
  for (uint16_t i = 0; i < 5; ++i) {
    (void)before.one_from_vm(kContoso, nat_udp(kVm, static_cast<uint16_t>(6000 + i), kServer, 53));
  }
  EXPECT_EQ(save(before, path), 5U);
  const auto whole = std::filesystem::file_size(path);
  for (const uintmax_t bytes : {whole - 1, whole - 64, whole - 100, uintmax_t{40}, uintmax_t{33}}) {
    const std::string part = path + ".part";
    std::filesystem::copy_file(path, part, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(part, bytes);
    NatNetwork after;
    const auto kept = restore(after, part);
    ASSERT_TRUE(kept.has_value()) << bytes;
    EXPECT_LT(kept->restored, 5U) << bytes;
    EXPECT_EQ(after.fault(), "");
  }
  (void)std::remove(path.c_str());
}

}  // namespace
}  // namespace hnv
