// SPDX-License-Identifier: Apache-2.0
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include "compartments/secret_bytes.h"

namespace hnv {
namespace {

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(!Printable<SecretBytes>);
static_assert(Printable<int>);

TEST(SecretBytes, HoldsWhatItWasGiven) {
  const auto secret = SecretBytes::of("swordfish");
  EXPECT_EQ(secret.size(), 9U);
  EXPECT_EQ(secret.reveal_text(), "swordfish");
  EXPECT_TRUE(SecretBytes().empty());
}

TEST(SecretBytes, MovingLeavesNothingBehind) {
  auto first = SecretBytes::of("first");
  auto second = SecretBytes::of("second");
  second = std::move(first);
  EXPECT_EQ(second.reveal_text(), "first");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is what is asked
  const SecretBytes third(std::move(second));
  EXPECT_EQ(third.reveal_text(), "first");
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move): that is what is asked
}

TEST(SecretBytes, ComparesBytes) {
  EXPECT_TRUE(SecretBytes::of("abc") == SecretBytes::of("abc"));
  EXPECT_FALSE(SecretBytes::of("abc") == SecretBytes::of("abd"));
  EXPECT_FALSE(SecretBytes::of("abc") == SecretBytes::of("ab"));
  EXPECT_TRUE(SharedSecret(SecretBytes::of("a")) == SharedSecret(SecretBytes::of("a")));
  EXPECT_FALSE(SharedSecret(SecretBytes::of("a")) == SharedSecret());
}

}  // namespace
}  // namespace hnv
