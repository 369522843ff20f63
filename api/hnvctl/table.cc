// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/table.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace hnv::ctl {
namespace {

const Json& value_of(const Json& row, const std::string& property) {
  static const Json kNothing;
  if (!row.is_object()) return kNothing;
  if (property.starts_with('/')) {
    const Json::json_pointer pointer(property);
    return row.contains(pointer) ? row.at(pointer) : kNothing;
  }
  const auto found = row.find(property);
  return found == row.end() ? kNothing : *found;
}

// What everybody knows of a resource that was listed.
bool is_noise(const std::string& property) {
  static const std::set<std::string> kNoise{"resourceRef", "provisioningState", "etag"};
  return kNoise.contains(property);
}

// The plain properties that occur in the rows, the name first.
std::vector<Column> columns_of(const Json& rows) {
  std::set<std::string> names;
  for (const auto& row : rows) {
    if (!row.is_object()) continue;
    for (const auto& property : row.items()) {
      if (!property.value().is_object() && !is_noise(property.key())) names.insert(property.key());
    }
  }
  std::vector<Column> columns;
  if (names.erase("resourceId") != 0) columns.push_back({"NAME", "resourceId"});
  for (const auto& name : names) columns.push_back({name, name});
  return columns;
}

}  // namespace

std::string cell(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.1f}", value.get<double>());
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (const auto& element : value) {
    if (!text.empty()) text += ',';
    text += cell(element);
  }
  return text;
}

std::string table(const std::vector<Column>& columns, const Json& rows) {
  std::vector<std::vector<std::string>> lines(1);
  for (const auto& column : columns) lines[0].push_back(column.heading);
  for (const auto& row : rows) {
    auto& line = lines.emplace_back();
    for (const auto& column : columns) line.push_back(cell(value_of(row, column.property)));
  }
  std::vector<size_t> widths(columns.size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : lines) {
    std::string shown;
    for (size_t i = 0; i < widths.size(); ++i) {
      shown += fmt::format("{:<{}}  ", line[i].empty() ? "-" : line[i], widths[i]);
    }
    shown.erase(shown.find_last_not_of(' ') + 1);
    text += shown + "\n";
  }
  return text;
}

std::string properties(const Json& object) {
  size_t width = 0;
  for (const auto& property : object.items()) width = std::max(width, property.key().size());
  std::string text;
  for (const auto& property : object.items()) {
    text += fmt::format("{:<{}}  {}\n", property.key(), width, cell(property.value()));
  }
  return text;
}

std::string by_shape(const Json& json) {
  if (json.is_null()) return {};
  if (json.is_object() && json.contains("value") && json["value"].is_array()) {
    std::string text = table(columns_of(json["value"]), json["value"]);
    if (json.contains("nextAfter")) {
      text += fmt::format("more: ?after={}\n", cell(json["nextAfter"]));
    }
    return text;
  }
  if (json.is_array()) return table(columns_of(json), json);
  return json.is_object() ? properties(json) : cell(json) + "\n";
}

const Json& at(const Json& json, const char* pointer) {
  static const Json kNothing;
  const Json::json_pointer where(pointer);
  return json.contains(where) ? json.at(where) : kNothing;
}

}  // namespace hnv::ctl
