// SPDX-License-Identifier: Apache-2.0
#include "vpn/vici_codec.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

enum class Element : uint8_t {
  section_start = 1,
  section_end = 2,
  key_value = 3,
  list_start = 4,
  list_item = 5,
  list_end = 6,
};

constexpr size_t kMaxDepth = 16;

bool named(ViciType type) {
  return type == ViciType::command_request || type == ViciType::event_register ||
         type == ViciType::event_unregister || type == ViciType::event;
}

template <class T>
const T* find(const ViciSection& in, std::string_view name) {
  for (const ViciItem& item : in.items) {
    if (item.name == name) return std::get_if<T>(&item.value);
  }
  return nullptr;
}

}  // namespace

ViciSection& ViciSection::add(std::string name, std::string value) {
  items.push_back({std::move(name), std::move(value)});
  return *this;
}
ViciSection& ViciSection::add(std::string name, SharedSecret value) {
  items.push_back({std::move(name), std::move(value)});
  return *this;
}
ViciSection& ViciSection::add(std::string name, std::vector<std::string> list) {
  items.push_back({std::move(name), std::move(list)});
  return *this;
}
ViciSection& ViciSection::add(std::string name, ViciSection section) {
  items.push_back({std::move(name), std::move(section)});
  return *this;
}

const std::string* ViciSection::value(std::string_view name) const {
  return find<std::string>(*this, name);
}
const std::vector<std::string>* ViciSection::list(std::string_view name) const {
  return find<std::vector<std::string>>(*this, name);
}
const ViciSection* ViciSection::section(std::string_view name) const {
  return find<ViciSection>(*this, name);
}

bool operator==(const ViciItem& a, const ViciItem& b) {
  return a.name == b.name && a.value == b.value;
}
bool operator==(const ViciSection& a, const ViciSection& b) { return a.items == b.items; }

std::string to_string(const ViciSection& section) {
  struct Text {
    std::string operator()(const std::string& value) const { return value; }
    std::string operator()(const SharedSecret&) const { return "***"; }
    std::string operator()(const std::vector<std::string>& list) const {
      return fmt::format("[{}]", fmt::join(list, " "));
    }
    std::string operator()(const ViciSection& inner) const { return to_string(inner); }
  };
  std::string out = "{";
  for (const ViciItem& item : section.items) {
    if (out.size() > 1) out += ' ';
    out += item.name + '=' + std::visit(Text{}, item.value);
  }
  return out + '}';
}

ViciBytes::~ViciBytes() {
  if (!bytes_.empty()) explicit_bzero(bytes_.data(), bytes_.size());
}

// Measures first, so that the bytes are never moved while they grow: no copy of a secret stays.
class ViciEncoder {
 public:
  [[nodiscard]] static Result<ViciBytes> encode(const ViciPacket& packet) {
    ViciEncoder measure;
    measure.write(packet);
    if (!measure.fault_.empty()) return fail(ErrorCode::invalid_value, measure.fault_);
    if (measure.size_ - 4 > kMaxViciPacket) {
      return fail(ErrorCode::invalid_value, fmt::format("a VICI packet of {} bytes; at most {}",
                                                        measure.size_ - 4, kMaxViciPacket));
    }
    ViciEncoder writer;
    writer.length_ = static_cast<uint32_t>(measure.size_ - 4);
    writer.out_.bytes_.resize(measure.size_);
    writer.write(packet);
    return std::move(writer.out_);
  }

 private:
  void write(const ViciPacket& packet) {
    number(length_, 4);
    byte(static_cast<uint8_t>(packet.type));
    if (named(packet.type)) name(packet.name);
    section(packet.message);
  }
  void section(const ViciSection& in) {
    for (const ViciItem& item : in.items) {
      at_ = &item.name;
      std::visit([&](const auto& value) { this->item(item.name, value); }, item.value);
    }
  }
  void item(const std::string& key, const ViciSection& inner) {
    byte(static_cast<uint8_t>(Element::section_start));
    name(key);
    section(inner);
    byte(static_cast<uint8_t>(Element::section_end));
  }
  void item(const std::string& key, const std::vector<std::string>& list) {
    byte(static_cast<uint8_t>(Element::list_start));
    name(key);
    for (const std::string& one : list) {
      byte(static_cast<uint8_t>(Element::list_item));
      value(one);
    }
    byte(static_cast<uint8_t>(Element::list_end));
  }
  void item(const std::string& key, const std::string& text) { key_value(key, text); }
  void item(const std::string& key, const SharedSecret& secret) {
    key_value(key, secret ? secret->reveal_text() : std::string_view());
  }
  void key_value(const std::string& key, std::string_view text) {
    byte(static_cast<uint8_t>(Element::key_value));
    name(key);
    value(text);
  }
  void name(std::string_view text) {
    if (text.empty() || text.size() > 255) {
      fault_ = fmt::format("the name \"{:.40}\" has {} bytes; 1 to 255", text, text.size());
    }
    byte(static_cast<uint8_t>(text.size()));
    raw(text);
  }
  void value(std::string_view text) {
    constexpr size_t kMost = std::numeric_limits<uint16_t>::max();
    if (text.size() > kMost) {
      fault_ = fmt::format("{} has {} bytes; at most {}", *at_, text.size(), kMost);
    }
    number(text.size(), 2);
    raw(text);
  }
  void number(uint64_t value, unsigned bytes) {
    while (bytes-- > 0) byte(static_cast<uint8_t>(value >> (8 * bytes)));
  }
  void byte(uint8_t value) {
    if (!out_.bytes_.empty()) out_.bytes_[size_] = value;
    ++size_;
  }
  void raw(std::string_view text) {
    if (!out_.bytes_.empty() && !text.empty()) {
      std::memcpy(&out_.bytes_[size_], text.data(), text.size());
    }
    size_ += text.size();
  }

  ViciBytes out_;  // empty while it measures
  size_t size_ = 0;
  uint32_t length_ = 0;
  const std::string* at_ = nullptr;
  std::string fault_;
};

Result<ViciBytes> encode(const ViciPacket& packet) { return ViciEncoder::encode(packet); }

namespace {

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> bytes) : left_(bytes) {}

  [[nodiscard]] Result<ViciPacket> packet() {
    if (left_.empty()) return bad("empty");
    ViciPacket out;
    const uint8_t type = byte();
    if (type > static_cast<uint8_t>(ViciType::event)) return bad("type");
    out.type = static_cast<ViciType>(type);
    if (named(out.type) && !name(out.name)) return bad("name of the packet");
    if (!section(out.message, 0)) return bad(fault_);
    return out;
  }

 private:
  [[nodiscard]] static tl::unexpected<Error> bad(std::string_view what) {
    return fail(ErrorCode::invalid_value, fmt::format("not a VICI packet: {}", what));
  }
  uint8_t byte() {  // REQUIRES one to be left
    const uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  [[nodiscard]] bool text(size_t size, std::string& out) {
    if (left_.size() < size) {
      fault_ = "a text is longer than its packet";
      return false;
    }
    out.assign(reinterpret_cast<const char*>(left_.data()), size);
    left_ = left_.subspan(size);
    return true;
  }
  [[nodiscard]] bool name(std::string& out) {
    if (left_.empty()) {
      fault_ = "a name is missing";
      return false;
    }
    return text(byte(), out);
  }
  [[nodiscard]] bool value(std::string& out) {
    if (left_.size() < 2) {
      fault_ = "a value is missing";
      return false;
    }
    const size_t high = byte();
    return text(high << 8 | byte(), out);
  }
  [[nodiscard]] bool list(std::vector<std::string>& out) {
    while (!left_.empty()) {
      const auto element = static_cast<Element>(byte());
      if (element == Element::list_end) return true;
      if (element != Element::list_item) {
        fault_ = "a list holds what is no item";
        return false;
      }
      if (!value(out.emplace_back())) return false;
    }
    fault_ = "a list has no end";
    return false;
  }
  // Depth 0 ends with the packet, the others with an element.
  [[nodiscard]] bool section(ViciSection& out, size_t depth) {
    if (depth > kMaxDepth) {
      fault_ = "sections are nested too deep";
      return false;
    }
    while (!left_.empty()) {
      const auto element = static_cast<Element>(byte());
      if (element == Element::section_end) {
        if (depth > 0) return true;
        fault_ = "an end without its section";
        return false;
      }
      if (!item(element, out, depth)) return false;
    }
    if (depth > 0) fault_ = "a section has no end";
    return depth == 0;
  }
  [[nodiscard]] bool item(Element element, ViciSection& out, size_t depth) {
    std::string key;
    switch (element) {
      case Element::key_value: {
        std::string text;
        if (!name(key) || !value(text)) return false;
        out.add(std::move(key), std::move(text));
        return true;
      }
      case Element::list_start: {
        std::vector<std::string> items;
        if (!name(key) || !list(items)) return false;
        out.add(std::move(key), std::move(items));
        return true;
      }
      case Element::section_start: {
        ViciSection inner;
        if (!name(key) || !section(inner, depth + 1)) return false;
        out.add(std::move(key), std::move(inner));
        return true;
      }
      default:
        fault_ = "an unknown element";
        return false;
    }
  }

  std::span<const uint8_t> left_;
  std::string_view fault_;
};

}  // namespace

Result<ViciPacket> decode_vici(std::span<const uint8_t> packet) { return Decoder(packet).packet(); }

void ViciStream::feed(std::span<const uint8_t> bytes) {
  if (read_ * 2 >= bytes_.size()) {  // seldom enough that every byte is moved once at most
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(read_));
    read_ = 0;
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

std::optional<Result<ViciPacket>> ViciStream::next() {
  const std::span<const uint8_t> left = std::span<const uint8_t>(bytes_).subspan(read_);
  if (left.size() < 4) return std::nullopt;
  const size_t size =
      size_t{left[0]} << 24 | size_t{left[1]} << 16 | size_t{left[2]} << 8 | left[3];
  if (size == 0 || size > kMaxViciPacket) {
    return fail(ErrorCode::invalid_value,
                fmt::format("a VICI packet of {} bytes; 1 to {}", size, kMaxViciPacket));
  }
  if (left.size() < 4 + size) return std::nullopt;
  read_ += 4 + size;
  return decode_vici(left.subspan(4, size));
}

}  // namespace hnv
