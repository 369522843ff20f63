// SPDX-License-Identifier: Apache-2.0
//
// JSON as tables for people. A table is columns with a heading and a property; what a row does not
// have stays empty. Answers without a table of their own are shown by their shape.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace hnv::ctl {

using Json = nlohmann::json;

struct Column {
  std::string heading;
  std::string property;  // a JSON pointer ("/route/fib") or a property's name
};

[[nodiscard]] std::string table(const std::vector<Column>& columns, const Json& rows);
// One line a property; nested values as compact JSON.
[[nodiscard]] std::string properties(const Json& object);
// Any answer: a collection as a table of its plain properties, an object as properties.
[[nodiscard]] std::string by_shape(const Json& json);
// One value as a cell: text without quotes, lists joined by commas.
[[nodiscard]] std::string cell(const Json& value);

// What is at a JSON pointer; null where nothing is.
[[nodiscard]] const Json& at(const Json& json, const char* pointer);

}  // namespace hnv::ctl
