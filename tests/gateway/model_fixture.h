// SPDX-License-Identifier: Apache-2.0
//
// A small desired state with one of everything, and changes written as an operator would write
// them: method, path, JSON.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/model.h"

namespace hnv {

struct Request {
  std::string_view method;  // PUT or DELETE
  std::string_view path;
  std::string_view body = "{}";
};

inline const PortCatalog kTestPorts{
    {"fabric0", 1700, MacAddress({2, 0, 0, 0, 0, 0xf0})},
    {"wan0", 1500, MacAddress({2, 0, 0, 0, 0, 0xf1})},
    {"wan1", 1500, std::nullopt},
    {"small0", 600, std::nullopt},
};

// Predictable: MACs 02:00:00:00:01:00, …:01 and so on.
[[nodiscard]] ServerChoices test_choices();
[[nodiscard]] inline MacAddress test_gateway_mac() { return MacAddress({2, 0, 0, 0, 0, 1}); }

// Dies (with a message) on a path or body that the API would refuse: those are its tests' matter.
[[nodiscard]] Change change_of(const std::vector<Request>& requests);

// What an operator asks for first: two fabrics, a campus network, and the tenants contoso and
// fabrikam with the same addresses.
[[nodiscard]] const std::vector<Request>& base_requests();
[[nodiscard]] ModelPtr base_model();

// On top of it: a network with public addresses, two pools, and a NAT in both tenants, with the
// same addresses inside.
[[nodiscard]] const std::vector<Request>& nat_requests();

[[nodiscard]] tl::expected<Transition, ChangeError> try_apply(const ModelPtr& base,
                                                              const std::vector<Request>& requests);
// Dies when the change is refused.
[[nodiscard]] ModelPtr must_apply(const ModelPtr& base, const std::vector<Request>& requests);

// The resource's JSON as it is stored, or "" when it does not exist.
[[nodiscard]] std::string shown(const Model& model, std::string_view path);

// Every resource, by path. Equal models have equal lists.
[[nodiscard]] std::vector<Resource> all_resources(const Model& model);

// Recomputes every index and count from the resources and compares. Empty when all is well.
[[nodiscard]] std::string index_fault(const Model& model);

}  // namespace hnv
