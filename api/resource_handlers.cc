// SPDX-License-Identifier: Apache-2.0
#include "api/resource_handlers.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "api/etag.h"
#include "api/lookup_records.h"
#include "api/resource_json.h"
#include "api/state_json.h"

namespace hnv {
namespace {

constexpr unsigned kPatchTries = 10;  // while others change the same resource

// Lookup records and customer routes come by the thousand and have no state of their own.
bool has_state(const ResourceKey& key) {
  return !std::holds_alternative<LookupRecordKey>(key) &&
         !std::holds_alternative<CustomerRouteKey>(key);
}

HttpAnswer not_found(std::string_view path) {
  return error_answer(
      {ErrorCode::not_found, "this resource does not exist", std::string(path), {}});
}

// RFC 7396, but that a null for what is not shown stays: it takes a secret away.
Json merged(Json target, const Json& patch) {
  if (!target.is_object()) target = Json::object();
  for (const auto& [name, value] : patch.items()) {
    const auto shown = target.find(name);
    if (value.is_null() && shown != target.end()) {
      target.erase(shown);
    } else if (value.is_object()) {
      target[name] = merged(shown == target.end() ? Json() : *shown, value);
    } else {
      target[name] = value;
    }
  }
  return target;
}

// The body of a PUT that does what the PATCH wants of the resource as it is.
Json patched(const Resource& resource, const Json& patch) {
  Json now = resource_json(resource);
  if (patch.contains("extAsNumber")) now.erase("asNumber");  // the same by another name
  // Of the answer, and no longer true.
  for (const char* name : {"etag", "provisioningState"}) now.erase(name);
  return merged(std::move(now), patch);
}

}  // namespace

Result<size_t> parse_limit(const HttpRequest& request) {
  const auto given = request.query.find("limit");
  if (given == request.query.end()) return std::numeric_limits<size_t>::max() - 1;
  const std::string& text = given->second;
  uint32_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit == 0) {
    return fail(ErrorCode::invalid_value, "\"limit\" must be a whole number from 1", "limit");
  }
  return limit;
}

Result<ResourceKey> resource_key(std::string_view path) {
  auto key = parse_resource_path(path);
  const bool is_record = path.find("/lookupRecords/") != std::string_view::npos;
  if (is_record) {
    Faults faults;
    (void)decode_record_id(Place{}, path.substr(path.rfind('/') + 1), faults);
    if (!faults.empty()) {
      Error error = std::move(faults).to_error();
      return fail(error.code, "the last part of the path " + error.message, std::string(path));
    }
  }
  if (!key) {
    return fail(
        ErrorCode::invalid_value,
        "names in a path are 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter "
        "or digit",
        std::string(path));
  }
  return *key;
}

Json resource_with_state(const Resource& resource, const Control& control) {
  Json json = resource_json(resource);
  if (!has_state(resource.key)) return json;
  if (const auto state = control.configuration_state(resource.key)) {
    json["configurationState"] = state_json(*state);
  }
  if (const auto* connection = std::get_if<NetworkConnectionKey>(&resource.key)) {
    if (const auto state = control.connection_state(*connection)) {
      json["status"] = state_json(*state);
    }
  } else if (const auto* nat = std::get_if<NatKey>(&resource.key)) {
    if (const auto state = control.nat_state(nat->domain)) json["status"] = state_json(*state);
  } else if (const auto* peer = std::get_if<BgpPeerKey>(&resource.key)) {
    if (const auto state = control.bgp_peer_state(*peer)) json["status"] = state_json(*state);
  } else if (const auto* pool = std::get_if<PublicAddressPoolKey>(&resource.key)) {
    if (const auto state = control.nat_pool_state(pool->name)) json["status"] = state_json(*state);
  }
  return json;
}

HttpAnswer get_resource(const Call& call) {
  const auto key = resource_key(call.request.path);
  if (!key) return error_answer(key.error());
  const auto precondition = parse_precondition(call.request.if_match, call.request.if_none_match);
  if (!precondition) return error_answer(precondition.error());
  const auto resource = call.control.config()->find(*key);
  if (!resource) return not_found(call.request.path);
  HttpAnswer answer;
  switch (evaluate(*precondition, resource->etag)) {
    case Match::failed:
      return error_answer(
          {ErrorCode::precondition_failed,
           fmt::format("If-Match does not name the current etag {}", etag_header(resource->etag)),
           call.request.path,
           {}});
    case Match::not_modified:
      answer.status = 304;
      break;
    case Match::go_on:
      answer = json_answer(200, resource_with_state(*resource, call.control));
      break;
  }
  answer.headers["ETag"] = etag_header(resource->etag);
  return answer;
}

HttpAnswer put_resource(const Call& call) {
  const auto key = resource_key(call.request.path);
  if (!key) return error_answer(key.error());
  const auto precondition = parse_precondition(call.request.if_match, call.request.if_none_match);
  if (!precondition) return error_answer(precondition.error());
  const auto body = parse_json(call.request.body);
  if (!body) return error_answer(body.error());
  Faults faults;
  ResourceSpec spec = decode_resource(*key, Place{}, *body, faults);
  if (!faults.empty()) return error_answer(std::move(faults).to_error());

  Change change;
  change.operations.emplace_back(Put{*key, std::move(spec), *precondition});
  const auto applied = call.control.apply(std::move(change));
  if (!applied) return error_answer(applied.error().error);
  const auto& item = applied->items.front();
  HttpAnswer answer = json_answer(item.outcome == Outcome::created ? 201 : 200,
                                  resource_with_state(*item.resource, call.control));
  answer.headers["ETag"] = etag_header(item.resource->etag);
  if (item.outcome == Outcome::created) answer.headers["Location"] = resource_path(*key);
  return answer;
}

HttpAnswer patch_resource(const Call& call) {
  const auto key = resource_key(call.request.path);
  if (!key) return error_answer(key.error());
  const auto precondition = parse_precondition(call.request.if_match, call.request.if_none_match);
  if (!precondition) return error_answer(precondition.error());
  const auto patch = parse_json(call.request.body);
  if (!patch) return error_answer(patch.error());
  if (!patch->is_object()) {
    return error_answer({ErrorCode::invalid_value,
                         "must be an object with the properties that change; null takes one away",
                         "",
                         {}});
  }
  for (unsigned tries = 1;; ++tries) {
    const auto resource = call.control.config()->find(*key);
    if (!resource) return not_found(call.request.path);
    if (evaluate(*precondition, resource->etag) != Match::go_on) {
      return error_answer(
          {ErrorCode::precondition_failed,
           fmt::format("does not hold: its ETag is {}; read it again", etag_header(resource->etag)),
           call.request.path,
           {}});
    }
    Faults faults;
    ResourceSpec spec = decode_resource(*key, Place{}, patched(*resource, *patch), faults);
    if (!faults.empty()) return error_answer(std::move(faults).to_error());
    Change change;
    // Of the resource as it was read: what others change meanwhile is not taken back.
    Precondition unchanged;
    unchanged.if_match = std::vector<uint64_t>{resource->etag};
    change.operations.emplace_back(Put{*key, std::move(spec), std::move(unchanged)});
    const auto applied = call.control.apply(std::move(change));
    if (applied) {
      const Resource& now = *applied->items.front().resource;
      HttpAnswer answer = json_answer(200, resource_with_state(now, call.control));
      answer.headers["ETag"] = etag_header(now.etag);
      return answer;
    }
    const Error& error = applied.error().error;
    if (error.code != ErrorCode::precondition_failed || tries == kPatchTries) {
      return error_answer(error);
    }
  }
}

HttpAnswer delete_resource(const Call& call) {
  const auto key = resource_key(call.request.path);
  if (!key) return error_answer(key.error());
  const auto precondition = parse_precondition(call.request.if_match, call.request.if_none_match);
  if (!precondition) return error_answer(precondition.error());
  Change change;
  change.operations.emplace_back(Delete{*key, *precondition});
  const auto applied = call.control.apply(std::move(change));
  if (!applied) return error_answer(applied.error().error);
  return no_content();
}

HttpAnswer list_collection(const Call& call, Collection collection) {
  const auto limit = parse_limit(call.request);
  if (!limit) return error_answer(limit.error());
  CollectionKey key{collection, {}, {}};
  if (!call.parameters.empty()) key.domain = call.parameters[0];
  if (call.parameters.size() > 1) key.subnet = call.parameters[1];
  const auto after = call.request.query.find("after");
  // One more than asked for tells whether there are more.
  auto resources = call.control.config()->list(
      key, after == call.request.query.end() ? std::string_view{} : after->second, *limit + 1);
  if (!resources) return not_found(call.request.path);
  const bool more = resources->size() > *limit;
  if (more) resources->pop_back();

  Json value = Json::array();
  for (const auto& resource : *resources) {
    value.push_back(resource_with_state(resource, call.control));
  }
  Json json{{"value", std::move(value)}};
  if (more) json["nextAfter"] = resource_id(resources->back().key);
  return json_answer(200, json);
}

}  // namespace hnv
