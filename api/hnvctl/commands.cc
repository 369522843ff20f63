// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/commands.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "api/hnvctl/table.h"
#include "api/hnvctl/views.h"

namespace hnv::ctl {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t g_interrupted = 0;
void on_signal(int) { g_interrupted = 1; }

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::string json_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string text_of(Output output, const Json& json, View view) {
  if (json.is_null()) return {};
  return output == Output::json ? json_text(json) : view(json);
}

// Lists that may be too long for one answer. With a query the caller turns the pages.
bool has_pages(std::string_view path) {
  constexpr std::array<std::string_view, 10> kLists{
      "/providerNetworks",  "/externalNetworks", "/routingDomains",     "/virtualSubnets",
      "/lookupRecords",     "/customerRoutes",   "/networkConnections", "/routes",
      "/publicIPAddresses", "/neighbors"};
  return std::any_of(kLists.begin(), kLists.end(),
                     [&](std::string_view list) { return path.ends_with(list); });
}

Json all_pages(Client& client, const std::string& path) {
  constexpr unsigned kPage = 2000;
  Json all = client.get(fmt::format("{}?limit={}", path, kPage));
  while (all.contains("nextAfter")) {
    Json page = client.get(
        fmt::format("{}?limit={}&after={}", path, kPage, all["nextAfter"].get<std::string>()));
    auto& value = all["value"].get_ref<Json::array_t&>();
    auto& more = page["value"].get_ref<Json::array_t&>();
    std::move(more.begin(), more.end(), std::back_inserter(value));
    all.erase("nextAfter");
    if (page.contains("nextAfter")) all["nextAfter"] = page["nextAfter"];
  }
  return all;
}

std::string shown(Client& client, Output output, const std::string& path, View view) {
  if (has_pages(path)) return text_of(output, all_pages(client, path), view);
  const Response response = client.call("GET", path);
  if (response.content_type.starts_with("text/")) return response.body;
  return text_of(output, response.json(), view);
}

std::string contents(const std::string& file) {
  if (file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) throw Failure(fmt::format("cannot read {}", file));
  return text;
}

Json json_of(const std::string& file) {
  try {
    return Json::parse(contents(file));
  } catch (const Json::exception& e) {
    throw Failure(fmt::format("{} is not JSON: {}", file, e.what()));
  }
}

void sleep_a_while(double seconds) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (g_interrupted == 0 && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Json filter_of(const TraceRequest& request) {
  Json filter{{"routingDomain", request.domain}};
  const auto add = [&](const char* name, const auto& value) {
    if (value) filter[name] = *value;
  };
  add("source", request.source);
  add("destination", request.destination);
  add("sourcePort", request.source_port);
  add("destinationPort", request.destination_port);
  add("limit", request.limit);
  if (request.protocol) {  // a number, or a name that the API knows
    const Json number = Json::parse(*request.protocol, nullptr, false);
    filter["protocol"] = number.is_number_unsigned() ? number : Json(*request.protocol);
  }
  return filter;
}

}  // namespace

void print(std::string_view text) {
  std::cout << text << std::flush;
  if (!std::cout) throw Failure("cannot write the output");
}

void print(Output output, const Json& json, View view) { print(text_of(output, json, view)); }

void show(Client& client, Output output, const std::string& path, View view) {
  print(shown(client, output, path, view));
}

void put(Client& client, Output output, const std::string& path, const std::string& file) {
  print(text_of(output, client.call("PUT", path, json_of(file).dump()).json(), by_shape));
}

void erase(Client& client, const std::string& path) { (void)client.call("DELETE", path); }

void apply(Client& client, Output output, const std::string& file) {
  const Json json = json_of(file);
  if (!json.is_object() || !json.contains("resources") || !json["resources"].is_array() ||
      json.size() != 1) {
    throw Failure(fmt::format(R"({} must be {{"resources":[{{"path":"…","body":{{…}}}}]}})", file));
  }
  Json batch = Json::array();
  for (const auto& resource : json["resources"]) {
    if (!resource.is_object() || !resource.contains("path") || !resource["path"].is_string()) {
      throw Failure(fmt::format("{}: resource {} has no path", file, batch.size()));
    }
    Json operation = resource;  // what else it says is for the API to judge
    operation["method"] = "PUT";
    operation["path"] = full_path(resource["path"].get<std::string>());
    batch.push_back(std::move(operation));
  }
  print(text_of(output, client.call("POST", "/v1/batch", batch.dump()).json(), view_batch));
}

void watch(Client& client, Output output, const std::string& path, double interval_seconds) {
  catch_interrupts();
  const std::string_view clear = isatty(STDOUT_FILENO) != 0 ? "\033[H\033[2J" : "";
  for (bool reached = false; g_interrupted == 0; sleep_a_while(interval_seconds)) {
    try {
      const std::string text = shown(client, output, path, view_of(path));
      print(fmt::format("{}{}", clear, text));
      reached = true;
    } catch (const Unreachable& e) {
      if (!reached) throw;
      std::cerr << "hnvctl: " << e.what() << "\n";
    }
  }
}

void trace(Client& client, Output output, const TraceRequest& request) {
  catch_interrupts();
  (void)client.call("PUT", "/v1/trace", filter_of(request).dump());
  const auto begin = Clock::now();
  size_t shown = 0;
  bool on = true;
  while (on) {
    const std::chrono::duration<double> lasted = Clock::now() - begin;
    // One more look after the end, so that nothing that happened is left out.
    on = g_interrupted == 0 && (request.seconds <= 0 || lasted.count() < request.seconds);
    const Json state = client.get("/v1/trace");
    const Json& events = state["events"];
    for (; shown < events.size(); ++shown) {
      print(output == Output::json ? events[shown].dump() + "\n" : view_trace_event(events[shown]));
    }
    if (state["filter"].is_null() || shown >= state["filter"].value("limit", 1000U)) on = false;
    if (!on && state.value("missed", 0U) > 0) {
      std::cerr << "hnvctl: " << state["missed"] << " events were missed\n";
    }
    if (on) sleep_a_while(0.3);
  }
  (void)client.call("DELETE", "/v1/trace");
}

}  // namespace hnv::ctl
