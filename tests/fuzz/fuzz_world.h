// SPDX-License-Identifier: Apache-2.0
//
// What the packet fuzzers share: the twin tenants' line, one frame at a time, and what must hold
// whatever the frame was. The ledger balances, no buffer is lost, and what leaves in one tenant's
// name (its VSID, its VLAN, its MAC on the shared network) came in in the same tenant's name: read
// off the frames themselves, not asked of the line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tests/fuzz/choices.h"
#include "tests/support/twin_tenants.h"

namespace hnv {

class FuzzWorld {
 public:
  FuzzWorld();
  // What went to the control thread, if anything did.
  struct Punted {
    Bytes frame;
    SideNote note;
  };
  // Dies when something does not hold.
  std::optional<Punted> send(unsigned port, Bytes frame);
  [[nodiscard]] const Dataplane& plane() const { return network_.plane(); }

 private:
  TestDataplane network_;
  TestLine line_;
};

// One for the process: every input meets it as the one before has left it, but for time.
[[nodiscard]] FuzzWorld& fuzz_world();

// Spoils up to three bytes, mends nothing: what the structured fuzzers do at their end.
void spoil(Bytes& frame, Choices& choices);

}  // namespace hnv
