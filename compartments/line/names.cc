// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "compartments/line/drop_reason.h"
#include "compartments/line/stage.h"

namespace hnv {

std::string_view to_string(Stage stage) {
  static constexpr std::array<std::string_view, kStages> kNames = {
      "classify", "enter_nvgre", "enter_ipsec", "enter_nat", "enter_l3",
      "route",    "leave_nvgre", "leave_ipsec", "leave_nat", "leave_l3",
      "rewrite",  "tx",          "respond",     "handoff",   "punt"};
  return kNames[static_cast<size_t>(stage)];
}

std::string_view to_string(DropReason reason) {
  static constexpr std::array<std::string_view, kDropReasons> kNames = {
#define X(name, sentence) #name,
      HNV_DROP_REASONS(X)
#undef X
  };
  return kNames[static_cast<size_t>(reason)];
}

std::string_view explain(DropReason reason) {
  static constexpr std::array<std::string_view, kDropReasons> kSentences = {
#define X(name, sentence) sentence,
      HNV_DROP_REASONS(X)
#undef X
  };
  return kSentences[static_cast<size_t>(reason)];
}

std::string_view to_string(OriginReason reason) {
  static constexpr std::array<std::string_view, kOriginReasons> kNames = {"arp_reply",
                                                                          "echo_reply",
                                                                          "time_exceeded",
                                                                          "unreachable",
                                                                          "fragmentation_needed",
                                                                          "fragment",
                                                                          "neighbor_advertisement",
                                                                          "packet_too_big",
                                                                          "parameter_problem",
                                                                          "hairpinned"};
  return kNames[static_cast<size_t>(reason)];
}

std::string_view to_string(ConsumeReason reason) {
  static constexpr std::array<std::string_view, kConsumeReasons> kNames = {
      "arp_request", "echo_request",  "fragmented", "neighbor_solicitation",
      "hairpinned",  "nat_keepalive", "esp_dummy"};
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace hnv
