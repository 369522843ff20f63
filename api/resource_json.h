// SPDX-License-Identifier: Apache-2.0
//
// Every resource's JSON in one place: what a key's kind decides (which decoder, which encoder) and
// what all resources share (resourceId, resourceRef, etag). The same properties serve the API and
// the store, so that what is stored is what was said.
#pragma once

#include <string>
#include <string_view>

#include "api/control.h"
#include "api/json_decode.h"
#include "compartments/result.h"

namespace hnv {

// The store's row: lossless, with what the server chose and with secrets, without etag or state.
// Pure.
[[nodiscard]] std::string spec_to_json(const ResourceSpec& spec);
[[nodiscard]] Result<ResourceSpec> spec_from_json(const ResourceKey& key, std::string_view text);

// A body that was sent for `key`. Notes what is wrong; the spec counts only when nothing was noted.
[[nodiscard]] ResourceSpec decode_resource(const ResourceKey& key, const Place& place,
                                           const Json& json, Faults& faults);

// The last segment of the resource's path, and what `after` of a collection takes.
[[nodiscard]] std::string resource_id(const ResourceKey& key);

// An answer: the spec's properties but its secrets, resourceId, resourceRef, etag and
// provisioningState.
[[nodiscard]] Json resource_json(const Resource& resource);

}  // namespace hnv
