// SPDX-License-Identifier: Apache-2.0
#include "api/json_decode.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace hnv {
namespace {

// RFC 6901 §3: "~" is "~0" and "/" is "~1". A long key, which only a hostile body has, is cut.
void append_escaped(std::string& out, std::string_view key) {
  constexpr size_t kLongest = 100;
  for (const char c : key.substr(0, kLongest)) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
}

// The parser's own words without its prefix "[json.exception.parse_error.101] ".
std::string without_prefix(std::string_view what) {
  const size_t end = what.find("] ");
  return std::string(end == std::string_view::npos ? what : what.substr(end + 2));
}

// Watches the parser: nesting and properties given twice. The parser would silently keep the last.
class StructureCheck {
 public:
  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
        if (depth >= kMaxJsonDepth) too_deep_ = true;
        keys_.emplace_back();
        break;
      case Json::parse_event_t::array_start:
        if (depth >= kMaxJsonDepth) too_deep_ = true;
        break;
      case Json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second && twice_.empty()) twice_ = key;
        break;
      }
      case Json::parse_event_t::array_end:
      case Json::parse_event_t::value:
        break;
    }
    return true;
  }
  [[nodiscard]] bool too_deep() const { return too_deep_; }
  [[nodiscard]] const std::string& twice() const { return twice_; }

 private:
  std::vector<std::set<std::string>> keys_;
  std::string twice_;
  bool too_deep_ = false;
};

}  // namespace

std::string Place::pointer() const {
  if (parent_ == nullptr) return {};
  std::string text = parent_->pointer();
  text += '/';
  if (is_index_) {
    text += std::to_string(index_);
  } else {
    append_escaped(text, key_);
  }
  return text;
}

void Faults::add(ErrorCode code, const Place& place, std::string message) {
  if (details_.size() < kMax) details_.push_back({code, std::move(message), place.pointer()});
}

void Faults::add(ErrorDetail detail) {
  const auto covered = [&detail](const ErrorDetail& known) {
    return known.target == detail.target || known.target.starts_with(detail.target + '/');
  };
  if (std::any_of(details_.begin(), details_.end(), covered)) return;
  if (details_.size() < kMax) details_.push_back(std::move(detail));
}

Error Faults::to_error() && {
  Error error{details_.front().code, details_.front().message, details_.front().target, {}};
  error.details = std::move(details_);
  return error;
}

Result<Json> parse_json(std::string_view text) {
  StructureCheck check;
  try {
    Json json = Json::parse(text, std::ref(check));
    if (check.too_deep()) {
      return fail(ErrorCode::invalid_value,
                  fmt::format("the body nests deeper than {} levels", kMaxJsonDepth));
    }
    if (!check.twice().empty()) {
      return fail(ErrorCode::invalid_value,
                  fmt::format("the property \"{:.100}\" is given twice", check.twice()));
    }
    return json;
  } catch (const Json::exception& e) {
    return fail(ErrorCode::invalid_value, "the body is not JSON: " + without_prefix(e.what()));
  }
}

std::string dump_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ObjectReader::ObjectReader(const Place& place, const Json& json, Faults& faults)
    : place_(place), json_(json), faults_(faults), is_object_(json.is_object()) {
  if (!is_object_) faults_.invalid(place_, "must be an object");
}

const Json* ObjectReader::take(std::string_view key) {
  known_.push_back(key);
  if (!is_object_) return nullptr;
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

bool ObjectReader::has(std::string_view key) const {
  if (!is_object_) return false;
  const auto found = json_.find(key);
  return found != json_.end() && !found->is_null();
}

bool ObjectReader::is_null(std::string_view key) const {
  if (!is_object_) return false;
  const auto found = json_.find(key);
  return found != json_.end() && found->is_null();
}

void ObjectReader::unsupported(std::string_view key) {
  if (take(key) != nullptr) {
    faults_.add(ErrorCode::not_supported, Place(place_, key),
                fmt::format("\"{}\" is not built yet", key));
  }
}

void ObjectReader::finish() {
  if (!is_object_) return;
  for (const auto& property : json_.items()) {
    if (std::find(known_.begin(), known_.end(), property.key()) == known_.end()) {
      faults_.add(ErrorCode::unknown_property, Place(place_, property.key()),
                  fmt::format("unknown property \"{:.100}\"", property.key()));
    }
  }
}

void ignore_answer_properties(ObjectReader& in) {
  for (const auto* key :
       {"resourceId", "resourceRef", "etag", "provisioningState", "configurationState", "status"}) {
    in.ignored(key);
  }
}

}  // namespace hnv
