// SPDX-License-Identifier: Apache-2.0
#include "bgp/json_members.h"

namespace hnv {
namespace {

constexpr size_t kOutermost = 1;
constexpr size_t kWanted = 2;  // the depth in the object whose members are wanted

}  // namespace

bool JsonMembers::feed(std::string_view bytes) {
  for (const char c : bytes) {
    if (!take(c)) return false;
    if (value_.size() + string_.size() > kLongest) return false;
  }
  return true;
}

bool JsonMembers::end_value() {
  in_value_ = false;
  const bool more = take_(string_, value_);
  value_.clear();
  return more;
}

bool JsonMembers::take(char c) {
  if (in_value_ && !in_string_ && depth_ == kWanted && (c == ',' || c == '}')) {
    if (!end_value()) return false;
  }
  if (in_value_) value_ += c;
  if (in_string_) {
    if (!escaped_ && c == '"') {
      in_string_ = false;
    } else if (!in_value_) {
      string_ += c;
    }
    escaped_ = !escaped_ && c == '\\';
    return true;
  }
  switch (c) {
    case '"':
      in_string_ = true;
      if (!in_value_) string_.clear();
      return true;
    case ':':
      if (inside_ && depth_ == kWanted) in_value_ = true;
      return true;
    case '{':
      if (depth_ == kOutermost && string_ == object_) inside_ = true;
      ++depth_;
      return true;
    case '[':
      ++depth_;
      return true;
    case '}':
    case ']':
      if (depth_ == kWanted) inside_ = false;
      if (depth_ != 0) --depth_;
      return true;
    default:
      return true;
  }
}

}  // namespace hnv
