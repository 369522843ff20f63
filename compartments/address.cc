// SPDX-License-Identifier: Apache-2.0
#include "compartments/address.h"

#include <arpa/inet.h>
#include <stdexcept>
#include <sys/random.h>

#include <fmt/format.h>

#include "compartments/ids.h"

namespace hnv {
namespace {

std::optional<uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

void fill_random(void* out, size_t size) {
  // Up to 256 bytes getrandom never returns short once the pool is ready.
  if (getrandom(out, size, 0) != static_cast<ssize_t>(size)) {
    throw std::runtime_error("the operating system gave no random bytes (getrandom)");
  }
}

}  // namespace

namespace address_text {

std::optional<uint32_t> parse4(std::string_view text) {
  in_addr raw{};
  const std::string terminated(text);
  // inet_pton(AF_INET) takes only four decimal parts, and glibc refuses leading zeros.
  if (terminated.find('\0') != std::string::npos ||
      inet_pton(AF_INET, terminated.c_str(), &raw) != 1) {
    return std::nullopt;
  }
  return ntohl(raw.s_addr);
}

std::optional<std::array<uint8_t, 16>> parse6(std::string_view text) {
  std::array<uint8_t, 16> bytes{};
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos ||
      inet_pton(AF_INET6, terminated.c_str(), bytes.data()) != 1) {
    return std::nullopt;
  }
  return bytes;
}

std::string format4(uint32_t host_order) {
  return fmt::format("{}.{}.{}.{}", host_order >> 24, host_order >> 16 & 0xff,
                     host_order >> 8 & 0xff, host_order & 0xff);
}

std::string format6(const std::array<uint8_t, 16>& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

}  // namespace address_text

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  Bytes bytes{};
  const bool separated = text.size() == 17;
  if (!separated && text.size() != 12) return std::nullopt;
  const char separator = separated ? text[2] : '\0';
  if (separated && separator != ':' && separator != '-') return std::nullopt;
  size_t at = 0;
  for (size_t i = 0; i < 6; ++i) {
    if (separated && i > 0 && text[at++] != separator) return std::nullopt;
    const auto high = hex_digit(text[at]);
    const auto low = hex_digit(text[at + 1]);
    if (!high || !low) return std::nullopt;
    bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
    at += 2;
  }
  return MacAddress(bytes);
}

MacAddress MacAddress::random_local() {
  Bytes bytes{};
  fill_random(bytes.data(), bytes.size());
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0xfc) | 0x02);  // unicast, locally administered
  return MacAddress(bytes);
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2],
                     bytes_[3], bytes_[4], bytes_[5]);
}

std::optional<Guid> Guid::parse(std::string_view text) {
  if (text.size() == 38 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, 36);
  }
  if (text.size() != 36) return std::nullopt;
  Guid guid;
  size_t byte = 0;
  for (size_t i = 0; i < 36;) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return std::nullopt;
      continue;
    }
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low) return std::nullopt;
    guid.bytes_[byte++] = static_cast<uint8_t>(*high << 4 | *low);
    i += 2;
  }
  return guid;
}

Guid Guid::random() {
  Guid guid;
  fill_random(guid.bytes_.data(), guid.bytes_.size());
  guid.bytes_[6] = static_cast<uint8_t>((guid.bytes_[6] & 0x0f) | 0x40);  // RFC 4122 version 4
  guid.bytes_[8] = static_cast<uint8_t>((guid.bytes_[8] & 0x3f) | 0x80);
  return guid;
}

std::string Guid::to_string() const {
  std::string text;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", bytes_[i]);
  }
  return text;
}

}  // namespace hnv
