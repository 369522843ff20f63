// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "bgp/zapi_release.h"

namespace hnv {
namespace {

TEST(ZapiRelease, IsThatOfTheVersion) {
  for (const char* version : {"8.4", "8.4.4", "8.5.2", "8.4.4-1.1~deb12u2", "8.4-dev"}) {
    const ZapiRelease* release = zapi_release_of(version);
    ASSERT_NE(release, nullptr) << version;
    EXPECT_EQ(release->name, "8.4 to 8.5");
  }
}

TEST(ZapiRelease, RefusesWhatItDoesNotKnow) {
  for (const char* version : {"", "8", "8.", "8.3.1", "8.6", "9.0", "9.1", "10.2.1", "8.4x", "x8.4",
                              "8.400", "408.4", "-8.4", "84"}) {
    EXPECT_EQ(zapi_release_of(version), nullptr) << version;
  }
}

TEST(ZapiRelease, NumbersAreThoseOfFrr) {
  const ZapiRelease* release = zapi_release_of("8.4.4");
  ASSERT_NE(release, nullptr);
  EXPECT_EQ(release->number(ZapiCommand::interface_add), 0);
  EXPECT_EQ(release->number(ZapiCommand::route_notify_owner), 10);
  EXPECT_EQ(release->number(ZapiCommand::hello), 18);
  EXPECT_EQ(release->number(ZapiCommand::bfd_dest_replay), 29);
  EXPECT_EQ(release->number(ZapiCommand::vrf_add), 33);
  EXPECT_EQ(release->number(ZapiCommand::bfd_client_register), 37);
  EXPECT_EQ(release->number(ZapiCommand::label_manager_connect), 50);
  EXPECT_EQ(release->number(ZapiCommand::client_capabilities), 119);
  EXPECT_EQ(release->number(ZapiCommand::route_notify_request), 124);
  for (size_t i = 0; i < kZapiCommands; ++i) {
    const auto command = static_cast<ZapiCommand>(i);
    EXPECT_EQ(release->command(release->number(command)), command);
  }
  EXPECT_FALSE(release->command(79));
}

TEST(ZapiRelease, VersionIsFoundInWhatShowVersionAnswers) {
  EXPECT_EQ(frr_version_in("FRRouting 8.4.4 (gate) on Linux(6.1).\nCopyright"), "8.4.4");
  EXPECT_EQ(frr_version_in("FRRouting 10.2\n"), "10.2");
  EXPECT_EQ(frr_version_in("Quagga 1.2"), "");
}

}  // namespace
}  // namespace hnv
