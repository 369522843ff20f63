// SPDX-License-Identifier: Apache-2.0
//
// Bytes as a body for each kind of resource and for each bulk form. Nothing may crash; what is
// accepted must survive the store (spec → JSON → spec) unchanged, and every fault must name its
// place in text that is valid JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/etag.h"
#include "api/http.h"
#include "api/record_handlers.h"
#include "api/resource_json.h"

namespace {

constexpr std::string_view kPaths[] = {
    "/v1/providerNetworks/a",
    "/v1/externalNetworks/a",
    "/v1/routingDomains/a",
    "/v1/routingDomains/a/virtualSubnets/b",
    "/v1/routingDomains/a/virtualSubnets/b/lookupRecords/10.0.0.4",
    "/v1/routingDomains/a/virtualSubnets/b/lookupRecords/wildcard-v4",
    "/v1/routingDomains/a/virtualSubnets/b/lookupRecords/l2-02:00:00:00:00:01",
    "/v1/routingDomains/a/customerRoutes/b",
    "/v1/routingDomains/a/networkConnections/b",
    "/v1/publicIPAddresses/a",
    "/v1/routingDomains/a/nat",
};

void require(bool condition) {
  if (!condition) std::abort();
}

void check_error(const hnv::Error& error) {
  const auto answer = hnv::error_answer(error);
  require(answer.status >= 400 && hnv::Json::accept(answer.body));
}

void check_resource(std::string_view path, const hnv::Json& json) {
  const auto key = hnv::parse_resource_path(path);
  require(key.has_value());
  hnv::Faults faults;
  const auto spec = hnv::decode_resource(*key, hnv::Place{}, json, faults);
  if (!faults.empty()) {
    check_error(std::move(faults).to_error());
    return;
  }
  const auto stored = hnv::spec_from_json(*key, hnv::spec_to_json(spec));
  require(stored.has_value() && *stored == spec);
}

void check_path(std::string_view text) {
  const auto key = hnv::parse_resource_path(text);
  if (!key) return;
  const auto again = hnv::parse_resource_path(hnv::resource_path(*key));
  require(again.has_value() && *again == *key);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  check_path(text);
  (void)hnv::parse_precondition(text, text);
  const auto json = hnv::parse_json(text);
  if (!json) {
    check_error(json.error());
    return 0;
  }
  for (const auto path : kPaths) check_resource(path, *json);
  hnv::Faults faults;
  (void)hnv::decode_records(hnv::Place{}, *json, faults);
  if (!faults.empty()) check_error(std::move(faults).to_error());
  return 0;
}
