// SPDX-License-Identifier: Apache-2.0
//
// GET, PUT, PATCH and DELETE of one resource, and GET of a collection: the same for every kind.
#pragma once

#include "api/routes.h"

namespace hnv {

HttpAnswer get_resource(const Call& call);
HttpAnswer put_resource(const Call& call);
HttpAnswer delete_resource(const Call& call);
// A merge patch (RFC 7396): members that are given are set, null takes one away, lists are replaced
// as a whole. Secrets that are not named stay.
HttpAnswer patch_resource(const Call& call);

HttpAnswer list_collection(const Call& call, Collection collection);
template <Collection C>
HttpAnswer get_collection(const Call& call) {
  return list_collection(call, C);
}

// "limit" of the query; without it as many as there are. 400 for anything but a number from 1.
[[nodiscard]] Result<size_t> parse_limit(const HttpRequest& request);
// The key of a path that has a resource's shape: 400 for a bad name.
[[nodiscard]] Result<ResourceKey> resource_key(std::string_view path);
// A resource as answers show it: with configurationState and status where it has them.
[[nodiscard]] Json resource_with_state(const Resource& resource, const Control& control);

}  // namespace hnv
