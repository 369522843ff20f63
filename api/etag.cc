// SPDX-License-Identifier: Apache-2.0
#include "api/etag.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace hnv {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// If-Match compares strongly: a weak tag never matches. If-None-Match compares weakly.
enum class Comparison : uint8_t { strong, weak };

// One list of tags; nullopt when it is malformed.
std::optional<std::vector<uint64_t>> parse_tags(std::string_view text, Comparison comparison) {
  std::vector<uint64_t> tags;
  while (!(text = trimmed(text)).empty()) {
    const bool weak = text.starts_with("W/\"");
    if (weak) text.remove_prefix(2);
    size_t end = 0;
    std::string_view tag;
    if (text.front() == '"') {
      end = text.find('"', 1);
      if (end == std::string_view::npos) return std::nullopt;
      tag = text.substr(1, end - 1);
      ++end;
    } else {
      end = std::min(text.find(','), text.size());
      tag = trimmed(text.substr(0, end));
      if (!number(tag)) return std::nullopt;
    }
    text = trimmed(text.substr(end));
    if (!text.empty()) {
      if (text.front() != ',') return std::nullopt;
      text.remove_prefix(1);
    }
    const auto value = number(tag);
    if (value && (!weak || comparison == Comparison::weak)) tags.push_back(*value);
  }
  return tags;
}

bool holds(const std::optional<std::vector<uint64_t>>& tags, uint64_t etag) {
  return tags && std::find(tags->begin(), tags->end(), etag) != tags->end();
}

}  // namespace

std::string etag_header(uint64_t etag) { return fmt::format("\"{}\"", etag); }

Result<Precondition> parse_precondition(std::string_view if_match, std::string_view if_none_match) {
  constexpr std::string_view kMust =
      "must be \"*\" or a list of entity tags such as \"17\" in quotes";
  Precondition precondition;
  if (trimmed(if_match) == "*") {
    precondition.if_match_any = true;
  } else if (!if_match.empty()) {
    precondition.if_match = parse_tags(if_match, Comparison::strong);
    if (!precondition.if_match) {
      return fail(ErrorCode::invalid_value, fmt::format("If-Match {}", kMust));
    }
  }
  if (trimmed(if_none_match) == "*") {
    precondition.if_none_match_any = true;
  } else if (!if_none_match.empty()) {
    precondition.if_none_match = parse_tags(if_none_match, Comparison::weak);
    if (!precondition.if_none_match) {
      return fail(ErrorCode::invalid_value, fmt::format("If-None-Match {}", kMust));
    }
  }
  return precondition;
}

Match evaluate(const Precondition& precondition, uint64_t etag) {
  // RFC 9110 §13.2.2: If-Match first.
  if (precondition.if_match && !holds(precondition.if_match, etag)) return Match::failed;
  if (precondition.if_none_match_any || holds(precondition.if_none_match, etag)) {
    return Match::not_modified;
  }
  return Match::go_on;
}

}  // namespace hnv
