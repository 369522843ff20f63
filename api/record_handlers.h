// SPDX-License-Identifier: Apache-2.0
//
// Lookup records in bulk: PUT of a whole collection and PATCH of up to 10,000 at once, each one
// Change. A hoster's controller pushes policy this way.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "api/routes.h"

namespace hnv {

HttpAnswer put_records(const Call& call);  // {"value":[record, …]}: what is not in it goes
HttpAnswer patch_records(const Call& call);  // [{"op":"put","record":{…}},{"op":"delete","id":"…"}]

// The collection that ".../virtualSubnets/NAME/lookupRecords" names; nullopt for other paths.
[[nodiscard]] std::optional<CollectionKey> record_collection(std::string_view path);
// The body of a PUT of all; notes faults, also a record given twice.
[[nodiscard]] std::vector<std::pair<RecordId, LookupRecordSpec>> decode_records(const Place& place,
                                                                                const Json& json,
                                                                                Faults& faults);

}  // namespace hnv
