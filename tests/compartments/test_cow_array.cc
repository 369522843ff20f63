// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/cow_array.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

struct alignas(64) Line {
  uint64_t value = 7;
};
using Lines = CowArray<Line>;

TEST(CowArray, EmptyReadsDefaultsAtAnyIndex) {
  const Lines lines;
  EXPECT_EQ(lines.size(), 0U);
  for (const size_t i : {size_t{0}, size_t{63}, size_t{64}, size_t{0xffffffff}, SIZE_MAX}) {
    EXPECT_EQ(lines[i].value, 7U) << i;
  }
}

TEST(CowArray, WithLeavesTheOriginalAndSharesOtherChunks) {
  Lines::Editor editor{Lines()};
  for (size_t i = 0; i < 200; ++i) editor.set(i, {i});
  const Lines before = std::move(editor).finish();
  const Lines after = before.with(70, {1000});
  EXPECT_EQ(before[70].value, 70U);
  EXPECT_EQ(after[70].value, 1000U);
  EXPECT_EQ(after[71].value, 71U);
  EXPECT_EQ(after.size(), 200U);
  EXPECT_EQ(before.address(0), after.address(0));      // shared
  EXPECT_NE(before.address(64), after.address(64));    // copied
  EXPECT_EQ(before.address(199), after.address(199));  // shared
  EXPECT_EQ(after[200].value, 7U);
  EXPECT_EQ(after[5000].value, 7U);
}

TEST(CowArray, AlignsElements) {
  const Lines lines = Lines().with(130, {1});
  for (const size_t i : {size_t{0}, size_t{130}, size_t{5000}}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(lines.address(i)) % alignof(Line), 0U) << i;
  }
}

TEST(CowArray, EditorCopiesAChunkOnce) {
  const Lines before = Lines().with(10, {1});
  Lines::Editor editor(before);
  const Line* first = &editor.edit(3);
  EXPECT_NE(first, before.address(3));
  EXPECT_EQ(&editor.edit(3), first);
  EXPECT_EQ(editor[10].value, 1U);
  EXPECT_EQ(editor[100000].value, 7U);
  const Lines after = std::move(editor).finish();
  EXPECT_EQ(after.address(3), first);
}

TEST(CowArray, FreesElementsWithTheLastSnapshot) {
  const auto value = std::make_shared<int>(1);
  {
    using Pointers = CowArray<std::shared_ptr<int>, 4>;
    const Pointers first = Pointers().with(9, value);
    const Pointers second = first.with(9, nullptr);
    EXPECT_EQ(value.use_count(), 2);
    EXPECT_EQ(second[9], nullptr);
  }
  EXPECT_EQ(value.use_count(), 1);
}

TEST(CowArray, ChurnEqualsAMap) {
  Random random(1);
  CowArray<uint32_t, 8> array;
  std::map<size_t, uint32_t> model;
  std::vector<std::pair<CowArray<uint32_t, 8>, std::map<size_t, uint32_t>>> old;
  for (int round = 0; round < 300; ++round) {
    CowArray<uint32_t, 8>::Editor editor(array);
    for (unsigned n = random() % 5; n > 0; --n) {
      const size_t i = random() % 300;
      const uint32_t value = random();
      editor.set(i, value);
      model[i] = value;
    }
    array = std::move(editor).finish();
    if (round % 30 == 0) old.emplace_back(array, model);
  }
  old.emplace_back(array, model);
  for (const auto& [snapshot, then] : old) {
    for (size_t i = 0; i < 400; ++i) {
      const auto expected = then.find(i);
      ASSERT_EQ(snapshot[i], expected == then.end() ? 0 : expected->second) << i;
    }
  }
}

}  // namespace
}  // namespace hnv
