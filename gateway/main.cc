// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "gateway/app.h"
#include "gateway/bootstrap.h"
#include "gateway/version.h"

namespace {

void print_error(const std::string& path, const hnv::Error& error) {
  if (error.details.empty()) {
    std::cerr << fmt::format("{}: {} {}\n", path, error.target, error.message);
  }
  for (const auto& detail : error.details) {
    std::cerr << fmt::format("{}: {} {}\n", path, detail.target.empty() ? "/" : detail.target,
                             detail.message);
  }
}

// Structured: one line a record, time, level, text; systemd's journal keeps them as they are.
void start_log(const std::string& level) {
  auto log = spdlog::stderr_logger_mt("hnv-gateway");
  log->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  log->set_level(spdlog::level::from_str(level));
  log->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(log));
}

int run(int argc, char** argv) {
  CLI::App app{"The HNV gateway: NVGRE tenants' door to the rest of the world"};
  std::string config;
  std::string check;
  app.set_version_flag("--version", std::string(hnv::version()));
  auto* run_it = app.add_option("--config", config, "run with this bootstrap file");
  app.add_option("--check", check, "say what is wrong with this bootstrap file, and end")
      ->excludes(run_it);
  CLI11_PARSE(app, argc, argv);
  const std::string& path = check.empty() ? config : check;
  if (path.empty()) {
    std::cerr << app.help();
    return 2;
  }
  const auto bootstrap = hnv::load_bootstrap(path);
  if (!bootstrap) {
    print_error(path, bootstrap.error());
    return 2;
  }
  if (!check.empty()) {
    std::cout << fmt::format("{}: good, {} port(s), {} worker(s)\n", path, bootstrap->ports.size(),
                             bootstrap->worker_lcores.size());
    return 0;
  }
  start_log(bootstrap->log_level);
  hnv::run_gateway(*bootstrap);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "hnv-gateway: " << error.what() << "\n";
    return 1;
  }
}
