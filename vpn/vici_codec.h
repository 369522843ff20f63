// SPDX-License-Identifier: Apache-2.0
//
// VICI, charon's control protocol, as bytes. Pure: no socket, no state but that of a stream that is
// cut into packets. Numbers are big-endian:
//
//   packet   u32 length of what follows | u8 type | (named types: u8 length, name) | message
//   message  elements: 1 section (u8 length, name) … 2 end | 3 key (u8 length, name) value (u16
//            length, bytes) | 4 list (u8 length, name), 5 item (u16 length, bytes) …, 6 end
//
// Source: strongSwan's src/libcharon/plugins/vici/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compartments/result.h"
#include "compartments/secret_bytes.h"

namespace hnv {

struct ViciItem;

// What stands between the start and the end of a section: items in their order. A whole message is
// one, too. Reading asks for the first item of a name.
struct ViciSection {
  std::vector<ViciItem> items;

  ViciSection& add(std::string name, std::string value);
  ViciSection& add(std::string name, SharedSecret value);
  ViciSection& add(std::string name, std::vector<std::string> list);
  ViciSection& add(std::string name, ViciSection section);

  [[nodiscard]] const std::string* value(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>* list(std::string_view name) const;
  [[nodiscard]] const ViciSection* section(std::string_view name) const;
};

struct ViciItem {
  std::string name;  // at most 255 bytes
  // A secret is written like any value; nothing is ever read into one.
  std::variant<std::string, SharedSecret, std::vector<std::string>, ViciSection> value;
};

[[nodiscard]] bool operator==(const ViciSection& a, const ViciSection& b);
[[nodiscard]] bool operator==(const ViciItem& a, const ViciItem& b);
// For logs and tests: `{a=1 l=[x y] s={…}}`; secrets as `***`.
[[nodiscard]] std::string to_string(const ViciSection& section);

enum class ViciType : uint8_t {
  command_request = 0,  // named
  command_response = 1,
  command_unknown = 2,
  event_register = 3,    // named
  event_unregister = 4,  // named
  event_confirm = 5,
  event_unknown = 6,
  event = 7,  // named
};

struct ViciPacket {
  ViciType type = ViciType::command_request;
  std::string name;  // of named types
  ViciSection message;
};

inline constexpr size_t kMaxViciPacket = size_t{512} * 1024;  // charon's own limit

// Bytes that may hold secrets: wiped when they go.
class ViciBytes {
 public:
  ViciBytes() = default;
  ViciBytes(ViciBytes&&) = default;
  ViciBytes& operator=(ViciBytes&&) = default;
  ViciBytes(const ViciBytes&) = delete;
  ViciBytes& operator=(const ViciBytes&) = delete;
  ~ViciBytes();
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  friend class ViciEncoder;
  std::vector<uint8_t> bytes_;
};

// A packet with its length in front. An error names the item that is too long, or says that the
// whole is.
[[nodiscard]] Result<ViciBytes> encode(const ViciPacket& packet);
// A packet without its length. Every byte must be accounted for; sections nest at most 16 deep.
[[nodiscard]] Result<ViciPacket> decode_vici(std::span<const uint8_t> packet);

// Cuts a stream into packets.
class ViciStream {
 public:
  // Bytes as they came. An error (a packet beyond the limit, or one that is none) ends the stream.
  void feed(std::span<const uint8_t> bytes);
  // The next whole packet; nothing when more bytes are needed.
  [[nodiscard]] std::optional<Result<ViciPacket>> next();

 private:
  std::vector<uint8_t> bytes_;
  size_t read_ = 0;  // bytes in front that are done with
};

}  // namespace hnv
