// SPDX-License-Identifier: Apache-2.0
//
// What hnvctl's verbs do. Each prints to stdout and throws Failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/hnvctl/client.h"
#include "api/hnvctl/views.h"

namespace hnv::ctl {

enum class Output : uint8_t { table, json };

// To stdout, at once.
void print(std::string_view text);
// As the view says, or as JSON.
void print(Output output, const Json& json, View view);

// GET and show, as the view says or as JSON.
void show(Client& client, Output output, const std::string& path, View view);
void put(Client& client, Output output, const std::string& path, const std::string& file);
void erase(Client& client, const std::string& path);
// {"resources":[{"path","body"}]} as one batch: all or nothing.
void apply(Client& client, Output output, const std::string& file);
// GET again and again until interrupted. Once there was an answer, it also waits for a gateway that
// restarts.
void watch(Client& client, Output output, const std::string& path, double interval_seconds);

struct TraceRequest {
  std::string domain;
  std::optional<std::string> source, destination, protocol;
  std::optional<uint16_t> source_port, destination_port;
  std::optional<uint32_t> limit;
  double seconds = 0;  // 0: until interrupted or the limit
};
// Switches the trace on, prints events as they come, switches it off.
void trace(Client& client, Output output, const TraceRequest& request);

}  // namespace hnv::ctl
