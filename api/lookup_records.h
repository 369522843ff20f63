// SPDX-License-Identifier: Apache-2.0
//
// A lookup record in JSON: (virtual subnet, CA) → (PA, MAC). A record's id follows from its body:
// the customer address, "wildcard-v4", or "l2-" and the MAC. Where a path or a "resourceId" names
// the record too, it must agree.
#pragma once

#include <optional>

#include "api/json_decode.h"
#include "compartments/spec.h"

namespace hnv {

struct IdentifiedRecord {
  RecordId id;
  LookupRecordSpec spec;
};

// `named` is the id in the path or "resourceId", if there is one.
[[nodiscard]] IdentifiedRecord decode_lookup_record(const Place& place, const Json& json,
                                                    Faults& faults,
                                                    const std::optional<RecordId>& named);
[[nodiscard]] Json encode(const LookupRecordSpec& spec);

// The text of a record's id in a path or a "resourceId"; notes malformed ones.
[[nodiscard]] std::optional<RecordId> decode_record_id(const Place& place, std::string_view text,
                                                       Faults& faults);

}  // namespace hnv
