// SPDX-License-Identifier: Apache-2.0
//
// From JSON to typed values, without trust. A body is read by one ObjectReader per object and one
// reader per value; what does not fit is noted in Faults with its JSON pointer (RFC 6901) and
// reading goes on, so that an operator learns of every fault at once. A value that did not fit
// keeps its default, and the caller drops the whole spec when any fault was noted.
//
//   ObjectReader in(place, json, faults);
//   in.required("port", spec.port, name_reader);
//   in.optional("mtu", spec.mtu, WholeNumber{kMinMtu, kMaxMtu});
//   in.finish();  // notes every property that nobody asked for
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "compartments/result.h"

namespace hnv {

using Json = nlohmann::json;

// Where in a body: a chain of stack frames, spelled out only when a fault is noted. A place must
// not outlive its parent.
class Place {
 public:
  Place() = default;  // the whole body
  Place(const Place& parent, std::string_view key) : parent_(&parent), key_(key) {}
  Place(const Place& parent, size_t index) : parent_(&parent), index_(index), is_index_(true) {}

  [[nodiscard]] std::string pointer() const;

 private:
  const Place* parent_ = nullptr;
  std::string_view key_;
  size_t index_ = 0;
  bool is_index_ = false;
};

// Every fault of a body, in the order of reading. Bounded, so that a hostile body cannot make the
// answer larger than itself.
class Faults {
 public:
  static constexpr size_t kMax = 100;

  void add(ErrorCode code, const Place& place, std::string message);
  void invalid(const Place& place, std::string message) {
    add(ErrorCode::invalid_value, place, std::move(message));
  }
  // One that was found elsewhere, its target a pointer into the body. Left out when that place, or
  // something in it, is known to be faulty.
  void add(ErrorDetail detail);
  [[nodiscard]] bool empty() const { return details_.empty(); }
  [[nodiscard]] size_t count() const { return details_.size(); }
  // REQUIRES !empty(). The head repeats the first fault.
  [[nodiscard]] Error to_error() &&;

 private:
  std::vector<ErrorDetail> details_;
};

// Text to JSON: strict RFC 8259, UTF-8, nesting of at most kMaxDepth, no property twice.
inline constexpr int kMaxJsonDepth = 16;
[[nodiscard]] Result<Json> parse_json(std::string_view text);

// JSON to text. Invalid UTF-8 (in what an operator sent and an error repeats) is replaced.
[[nodiscard]] std::string dump_json(const Json& json);

// Reads one object's properties. A JSON null counts as absent.
class ObjectReader {
 public:
  ObjectReader(const Place& place, const Json& json, Faults& faults);

  template <class T, class Reader>
  void required(std::string_view key, T& out, const Reader& read) {
    if (const Json* value = take(key)) {
      read(Place(place_, key), *value, faults_, out);
    } else if (is_object_) {
      faults_.invalid(Place(place_, key), "is required");
    }
  }
  // Leaves `out` alone when the property is absent.
  template <class T, class Reader>
  void optional(std::string_view key, T& out, const Reader& read) {
    if (const Json* value = take(key)) read(Place(place_, key), *value, faults_, out);
  }
  template <class T, class Reader>
  void optional(std::string_view key, std::optional<T>& out, const Reader& read) {
    if (const Json* value = take(key)) read(Place(place_, key), *value, faults_, out.emplace());
  }
  // Part of the API's design, not built yet: 422 instead of "unknown".
  void unsupported(std::string_view key);
  // What answers contain and a request may therefore send back; it is not read.
  void ignored(std::string_view key) { (void)take(key); }
  // Notes every property that was not asked for.
  void finish();

  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] bool is_null(std::string_view key) const;  // said to be nothing, not left out
  [[nodiscard]] const Place& place() const { return place_; }
  void invalid(std::string_view key, std::string message) {
    faults_.invalid(Place(place_, key), std::move(message));
  }

 private:
  const Json* take(std::string_view key);

  const Place& place_;
  const Json& json_;
  Faults& faults_;
  bool is_object_;
  std::vector<std::string_view> known_;
};

// The properties that every resource's answer carries besides its spec. A client that reads,
// changes and writes a resource sends them back.
void ignore_answer_properties(ObjectReader& in);

}  // namespace hnv
