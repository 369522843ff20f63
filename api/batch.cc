// SPDX-License-Identifier: Apache-2.0
#include "api/batch.h"

#include <fmt/format.h>

#include "api/etag.h"
#include "api/json_readers.h"
#include "api/record_handlers.h"
#include "api/resource_handlers.h"
#include "api/resource_json.h"

namespace hnv {
namespace {

enum class Verb : uint8_t { put, erase };
constexpr Words<Verb, 2> kVerbWords{{{"PUT", Verb::put}, {"DELETE", Verb::erase}}};

struct Parts {
  Verb verb = Verb::put;
  std::string path;
  std::string if_match, if_none_match;
  Precondition precondition;
};

// Everything but the body.
Parts read_parts(ObjectReader& in, Faults& faults) {
  Parts parts;
  in.required("method", parts.verb, OneOf{kVerbWords});
  in.required("path", parts.path, Text{});
  in.optional("ifMatch", parts.if_match, Text{});
  in.optional("ifNoneMatch", parts.if_none_match, Text{});
  in.ignored("body");
  in.finish();
  auto precondition = parse_precondition(parts.if_match, parts.if_none_match);
  if (precondition) {
    parts.precondition = std::move(*precondition);
  } else {
    faults.invalid(in.place(), precondition.error().message);
  }
  return parts;
}

// Bodies are decoded in place: nothing of the request is copied.
struct OperationReader {
  const Place& place;
  const Json& json;
  Faults& faults;

  [[nodiscard]] std::optional<Operation> read() const {
    const size_t before = faults.count();
    ObjectReader in(place, json, faults);
    Parts parts = read_parts(in, faults);
    if (faults.count() != before) return std::nullopt;
    if (parts.verb == Verb::put && !in.has("body")) {
      in.invalid("body", "is required");
      return std::nullopt;
    }
    if (parts.verb == Verb::erase && in.has("body")) in.invalid("body", "does not go with DELETE");
    if (const auto subnet = record_collection(parts.path)) {
      return read_records(in, parts, *subnet);
    }
    return read_resource(parts);
  }

 private:
  [[nodiscard]] std::optional<Operation> read_resource(const Parts& parts) const {
    const auto key = resource_key(parts.path);
    if (!key) {
      faults.add(key.error().code, Place(place, "path"), key.error().message);
      return std::nullopt;
    }
    if (parts.verb == Verb::erase) return Delete{*key, parts.precondition};
    const Place body(place, "body");
    return Put{*key, decode_resource(*key, body, json["body"], faults), parts.precondition};
  }

  std::optional<Operation> read_records(ObjectReader& in, const Parts& parts,
                                        const CollectionKey& subnet) const {
    if (parts.verb == Verb::erase || !parts.if_match.empty() || !parts.if_none_match.empty()) {
      in.invalid("path", "a collection takes only PUT, without ifMatch and ifNoneMatch");
      return std::nullopt;
    }
    const Place body(place, "body");
    return ReplaceRecords{subnet, decode_records(body, json["body"], faults)};
  }
};

std::string path_of(const Operation& operation) {
  struct Path {
    std::string operator()(const Put& put) const { return resource_path(put.key); }
    std::string operator()(const Delete& gone) const { return resource_path(gone.key); }
    std::string operator()(const ReplaceRecords& all) const {
      return fmt::format("/v1/routingDomains/{}/virtualSubnets/{}/lookupRecords", all.subnet.domain,
                         all.subnet.subnet);
    }
  };
  return std::visit(Path{}, operation);
}

Result<Change> read_change(const Json& json) {
  Faults faults;
  const Place list;
  Change change;
  if (!json.is_array()) {
    faults.invalid(list, "must be a list of {\"method\",\"path\",\"ifMatch\",\"body\"}");
  } else if (json.size() > kMaxOperations) {
    faults.invalid(list, fmt::format("has {} operations; at most {}", json.size(), kMaxOperations));
  } else {
    change.operations.reserve(json.size());
    for (size_t i = 0; i < json.size(); ++i) {
      const Place place(list, i);
      auto operation = OperationReader{place, json[i], faults}.read();
      if (operation) change.operations.push_back(std::move(*operation));
    }
  }
  if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
  return change;
}

}  // namespace

int status_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::created:
      return 201;
    case Outcome::replaced:
      return 200;
    case Outcome::deleted:
    case Outcome::already_absent:
      return 204;
  }
  return 200;
}

Error placed(ChangeError error, std::string_view body_property) {
  const std::string operation = fmt::format("/{}", error.operation);
  const auto place = [&](std::string& target) {
    if (target.empty()) {
      target = operation;
    } else if (!target.starts_with("/v1/")) {
      target = fmt::format("{}/{}{}", operation, body_property, target);
    }
  };
  place(error.error.target);
  for (auto& detail : error.error.details) place(detail.target);
  return std::move(error.error);
}

HttpAnswer post_batch(const Call& call) {
  const auto json = parse_json(call.request.body);
  if (!json) return error_answer(json.error());
  auto change = read_change(*json);
  if (!change) return error_answer(change.error());
  std::vector<std::string> paths;
  paths.reserve(change->operations.size());
  for (const auto& operation : change->operations) paths.push_back(path_of(operation));
  if (paths.empty()) return json_answer(200, Json::array());

  auto applied = call.control.apply(std::move(*change));
  if (!applied) return error_answer(placed(std::move(applied.error()), "body"));
  Json answers = Json::array();
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto& item = applied->items[i];
    Json answer{{"status", status_of(item.outcome)}, {"path", paths[i]}};
    if (item.resource) {
      answer["etag"] = std::to_string(item.resource->etag);
      answer["body"] = resource_with_state(*item.resource, call.control);
    }
    answers.push_back(std::move(answer));
  }
  return json_answer(200, answers);
}

}  // namespace hnv
