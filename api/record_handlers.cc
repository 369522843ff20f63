// SPDX-License-Identifier: Apache-2.0
#include "api/record_handlers.h"

#include <set>

#include <fmt/format.h>

#include "api/batch.h"
#include "api/json_readers.h"
#include "api/lookup_records.h"
#include "api/resource_json.h"

namespace hnv {
namespace {

enum class Verb : uint8_t { put, erase };
constexpr Words<Verb, 2> kVerbWords{{{"put", Verb::put}, {"delete", Verb::erase}}};

// A record among others: a "resourceId", as answers carry it, must agree with the body.
IdentifiedRecord decode_member(const Place& place, const Json& json, Faults& faults) {
  std::optional<RecordId> named;
  if (json.is_object() && json.contains("resourceId") && json["resourceId"].is_string()) {
    named =
        decode_record_id(Place(place, "resourceId"), json["resourceId"].get<std::string>(), faults);
  }
  return decode_lookup_record(place, json, faults, named);
}

struct PatchReader {
  const CollectionKey& subnet;
  Faults& faults;

  [[nodiscard]] std::optional<Operation> read(const Place& place, const Json& json) const {
    const size_t before = faults.count();
    Verb verb = Verb::put;
    std::string id;
    ObjectReader in(place, json, faults);
    in.required("op", verb, OneOf{kVerbWords});
    if (faults.count() != before) {
      in.ignored("record");  // what belongs there nobody knows
      in.ignored("id");
    } else if (verb == Verb::put) {
      in.ignored("record");
      if (json.is_object() && !in.has("record")) in.invalid("record", "is required");
    } else {
      in.required("id", id, Text{});
    }
    in.finish();
    if (faults.count() != before) return std::nullopt;
    if (verb == Verb::put) {
      auto record = decode_member(Place(place, "record"), json["record"], faults);
      return Put{LookupRecordKey{subnet.domain, subnet.subnet, record.id}, record.spec, {}};
    }
    const auto record_id = decode_record_id(Place(place, "id"), id, faults);
    if (!record_id) return std::nullopt;
    return Delete{LookupRecordKey{subnet.domain, subnet.subnet, *record_id}, {}};
  }
};

// A collection has no etag: a condition on it could not be kept.
std::optional<HttpAnswer> refuse_condition(const HttpRequest& request) {
  if (request.if_match.empty() && request.if_none_match.empty()) return std::nullopt;
  return error_answer(400, "a collection takes neither If-Match nor If-None-Match");
}

CollectionKey collection_of(const Call& call) {
  return {Collection::lookup_records, call.parameters[0], call.parameters[1]};
}

std::optional<HttpAnswer> refuse_missing_subnet(const Call& call, const CollectionKey& subnet) {
  if (call.control.config()->find(VirtualSubnetKey{subnet.domain, subnet.subnet})) {
    return std::nullopt;
  }
  return error_answer({ErrorCode::not_found,
                       "this virtual subnet does not exist",
                       resource_path(VirtualSubnetKey{subnet.domain, subnet.subnet}),
                       {}});
}

}  // namespace

std::optional<CollectionKey> record_collection(std::string_view path) {
  constexpr std::string_view kLast = "/lookupRecords";
  if (!path.ends_with(kLast)) return std::nullopt;
  const auto parent = parse_resource_path(path.substr(0, path.size() - kLast.size()));
  if (!parent) return std::nullopt;
  const auto* subnet = std::get_if<VirtualSubnetKey>(&*parent);
  if (subnet == nullptr) return std::nullopt;
  return CollectionKey{Collection::lookup_records, subnet->domain, subnet->name};
}

std::vector<std::pair<RecordId, LookupRecordSpec>> decode_records(const Place& place,
                                                                  const Json& json,
                                                                  Faults& faults) {
  std::vector<std::pair<RecordId, LookupRecordSpec>> records;
  ObjectReader in(place, json, faults);
  in.ignored("value");
  in.finish();
  if (!json.is_object()) return records;
  const Place list(place, "value");
  if (!in.has("value") || !json["value"].is_array()) {
    faults.invalid(list, "must be a list of records");
    return records;
  }
  const Json& value = json["value"];
  std::set<RecordId> seen;
  records.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const size_t before = faults.count();
    const Place element(list, i);
    auto record = decode_member(element, value[i], faults);
    if (faults.count() != before) continue;
    if (!seen.insert(record.id).second) {
      faults.invalid(element, fmt::format("the record {} is given twice", to_string(record.id)));
    }
    records.emplace_back(record.id, record.spec);
  }
  return records;
}

HttpAnswer put_records(const Call& call) {
  if (auto refusal = refuse_condition(call.request)) return *refusal;
  const CollectionKey subnet = collection_of(call);
  if (auto refusal = refuse_missing_subnet(call, subnet)) return *refusal;
  const auto json = parse_json(call.request.body);
  if (!json) return error_answer(json.error());
  Faults faults;
  auto records = decode_records(Place{}, *json, faults);
  if (!faults.empty()) return error_answer(std::move(faults).to_error());
  const size_t count = records.size();
  Change change;
  change.operations.emplace_back(ReplaceRecords{subnet, std::move(records)});
  const auto applied = call.control.apply(std::move(change));
  if (!applied) return error_answer(applied.error().error);
  return json_answer(200, {{"generation", applied->generation}, {"count", count}});
}

HttpAnswer patch_records(const Call& call) {
  if (auto refusal = refuse_condition(call.request)) return *refusal;
  const CollectionKey subnet = collection_of(call);
  if (auto refusal = refuse_missing_subnet(call, subnet)) return *refusal;
  const auto json = parse_json(call.request.body);
  if (!json) return error_answer(json.error());
  const Place list;
  Faults faults;
  Change change;
  std::vector<std::string> paths;
  if (!json->is_array()) {
    faults.invalid(list,
                   "must be a list of {\"op\":\"put\",\"record\"} and {\"op\":\"delete\",\"id\"}");
  } else if (json->size() > kMaxOperations) {
    faults.invalid(list,
                   fmt::format("has {} operations; at most {}", json->size(), kMaxOperations));
  } else {
    const PatchReader reader{subnet, faults};
    for (size_t i = 0; i < json->size(); ++i) {
      auto operation = reader.read(Place(list, i), (*json)[i]);
      if (operation) change.operations.push_back(std::move(*operation));
    }
  }
  if (!faults.empty()) return error_answer(std::move(faults).to_error());
  if (change.operations.empty()) return json_answer(200, Json::array());

  auto applied = call.control.apply(std::move(change));
  if (!applied) return error_answer(placed(std::move(applied.error()), "record"));
  Json answers = Json::array();
  for (const auto& item : applied->items) {
    Json answer{{"status", status_of(item.outcome)}};
    if (item.resource) {
      answer["path"] = resource_path(item.resource->key);
      answer["etag"] = std::to_string(item.resource->etag);
    }
    answers.push_back(std::move(answer));
  }
  return json_answer(200, answers);
}

}  // namespace hnv
