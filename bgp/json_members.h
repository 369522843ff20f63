// SPDX-License-Identifier: Apache-2.0
//
// The members of one object of a JSON text that comes in pieces and may be very long: bgpd's
// tables, of which only a part is wanted. Not a check of JSON: what is no JSON has no members, or
// wrong ones. Holds one member at a time. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace hnv {

class JsonMembers {
 public:
  // A member's name as it is written (escapes as they stand), and its value's text. False: enough.
  using Take = std::function<bool(std::string_view name, std::string_view value)>;
  static constexpr size_t kLongest = size_t{1} << 20;  // bytes of a name and its value together

  // Of the object that is the member `object` of the text's outermost one.
  JsonMembers(std::string object, Take take) : object_(std::move(object)), take_(std::move(take)) {}

  // False: nothing more is wanted, or a member is too long.
  [[nodiscard]] bool feed(std::string_view bytes);

 private:
  [[nodiscard]] bool take(char c);
  [[nodiscard]] bool end_value();

  std::string object_;
  Take take_;
  size_t depth_ = 0;     // of { and [
  bool inside_ = false;  // at the object's depth, or deeper
  bool in_string_ = false;
  bool escaped_ = false;
  bool in_value_ = false;  // of a member that is wanted
  std::string string_;     // the last one
  std::string value_;
};

}  // namespace hnv
