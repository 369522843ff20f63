// SPDX-License-Identifier: Apache-2.0
#include "bgp/zapi_release.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace hnv {
namespace {

// Numbers stand in the order of ZapiCommand. FRR 8.2 to 9.0 number alike, but 8.2 and 8.3 mark the
// MAC of a next hop elsewhere, and labels have another layout in 9.0: neither was tried.
constexpr ZapiRelease kReleases[] = {
    {"8.4 to 8.5",
     804,
     805,
     19,
     {.connected = 2, .static_route = 3, .bgp = 9},
     {0,  1,  2,  3,  4,  5,  8,  9,  10, 11, 12, 15, 16, 17, 18,  19, 20,
      21, 22, 25, 26, 27, 28, 29, 30, 31, 33, 34, 35, 37, 50, 119, 124}},
};

bool take_number(std::string_view& text, unsigned& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || out > 99) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

}  // namespace

std::optional<ZapiCommand> ZapiRelease::command(uint16_t number) const {
  const auto* const at = std::find(std::begin(numbers), std::end(numbers), number);
  if (at == std::end(numbers)) return std::nullopt;
  return static_cast<ZapiCommand>(at - std::begin(numbers));
}

const ZapiRelease* zapi_release_of(std::string_view version) {
  unsigned major = 0;
  unsigned minor = 0;
  if (!take_number(version, major) || !version.starts_with('.')) return nullptr;
  version.remove_prefix(1);
  if (!take_number(version, minor)) return nullptr;
  if (!version.empty() && version.front() != '.' && version.front() != '-') return nullptr;
  const unsigned wanted = major * 100 + minor;
  const auto* const at = std::find_if(
      std::begin(kReleases), std::end(kReleases),
      [wanted](const ZapiRelease& r) { return r.first <= wanted && wanted <= r.last; });
  return at == std::end(kReleases) ? nullptr : at;
}

std::string_view frr_version_in(std::string_view text) {
  constexpr std::string_view kBefore = "FRRouting ";
  const size_t at = text.find(kBefore);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + kBefore.size());
  return text.substr(0, text.find_first_of(" \n\r("));
}

}  // namespace hnv
