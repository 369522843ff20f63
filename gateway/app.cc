// SPDX-License-Identifier: Apache-2.0
//
// The composition root: reads as a parts list.
#include "gateway/app.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <sys/stat.h>
#include <thread>

#include <fmt/format.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include "api/server.h"
#include "gateway/control_loop.h"
#include "gateway/eal.h"
#include "gateway/ports.h"
#include "gateway/privileges.h"
#include "gateway/store_sqlite.h"
#include "gateway/version.h"

namespace hnv {
namespace {

sigset_t termination_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void make_directory(const std::string& path, const char* what) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    throw std::runtime_error(fmt::format("{}: cannot make {}: {}", what, path, error.message()));
  }
}

int worker_main(void* argument) {
  drop_thread_capabilities(AtTheEnd::nothing);
  static_cast<Worker*>(argument)->run();
  return 0;
}

// DPDK's lcores run the workers for as long as this lives.
class WorkerThreads {
 public:
  explicit WorkerThreads(ControlLoop& control) : control_(control) {
    for (unsigned i = 0; i < control_.workers(); ++i) {
      Worker& worker = control_.worker(i);
      if (rte_eal_remote_launch(worker_main, &worker, eal_lcore_of(i)) != 0) {
        throw std::runtime_error(fmt::format("lcore {} is busy", worker.config().lcore));
      }
    }
  }
  ~WorkerThreads() {
    for (unsigned i = 0; i < control_.workers(); ++i) control_.worker(i).stop();
    rte_eal_mp_wait_lcore();
  }
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  WorkerThreads(WorkerThreads&&) = delete;
  WorkerThreads& operator=(WorkerThreads&&) = delete;

 private:
  ControlLoop& control_;
};

std::vector<Port> open_ports(const Bootstrap& bootstrap, const Eal& eal) {
  std::vector<Port> ports;
  ports.reserve(bootstrap.ports.size());
  for (const PortConfig& config : bootstrap.ports) {
    ports.emplace_back(config, eal.packets(),
                       static_cast<unsigned>(bootstrap.worker_lcores.size()));
    const PortState state = ports.back().state();
    spdlog::info("port {}: {} ({}), MAC {}, MTU {}, {} rx and {} tx queues, spreading: {}",
                 config.name, config.device, state.driver, state.mac_address.to_string(), state.mtu,
                 state.rx_queues, state.tx_queues, state.spreading);
    for (const std::string& limitation : state.limitations) {
      spdlog::warn("port {}: {}", config.name, limitation);
    }
  }
  return ports;
}

std::unique_ptr<SqliteStore> open_store(const std::string& path) {
  auto store = SqliteStore::open(path);
  if (!store) throw std::runtime_error("store: " + store.error().message);
  return std::move(*store);
}

struct Restored {
  ModelPtr model;
  ServerChoices choices;
};

// What the store kept, with every check that a change would pass.
Restored restore_from(Store& store, const PortCatalog& catalog) {
  const auto loaded = store.load();
  if (!loaded) throw std::runtime_error("store: " + loaded.error().message);
  Restored restored;
  restored.choices.gateway_mac = loaded->gateway_mac;
  auto model = restore(loaded->generation, loaded->resources, catalog, restored.choices);
  if (!model) {
    throw std::runtime_error(
        fmt::format("store: {}: {}", model.error().target, model.error().message));
  }
  restored.model = std::move(*model);
  return restored;
}

PortCatalog catalog_of(const std::vector<Port>& ports) {
  PortCatalog catalog;
  for (const Port& port : ports) {
    catalog.push_back({port.config().name, port.config().mtu, port.mac().address()});
  }
  return catalog;
}

}  // namespace

void run_gateway(const Bootstrap& bootstrap) {
  // First of all: a launcher is forked while there is one thread, with all privileges.
  make_directory(bootstrap.runtime_directory, "runtimeDirectory");
  IkeStart ike = start_ike(bootstrap.ipsec, bootstrap.runtime_directory);
  if (bootstrap.ipsec && !ike.off.empty()) spdlog::error("IPsec is off: {}", ike.off);
  BgpStart bgp = start_bgp(bootstrap.bgp, bootstrap.runtime_directory);
  if (bootstrap.bgp && !bgp.off.empty()) spdlog::error("BGP is off: {}", bgp.off);
  // Every thread inherits this: signals come to the one that waits for them below.
  const sigset_t signals = termination_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  make_directory(std::filesystem::path(bootstrap.store).parent_path().string(), "store");

  const std::unique_ptr<SqliteStore> store = open_store(bootstrap.store);
  const Eal eal(bootstrap);
  const std::vector<Port> ports = open_ports(bootstrap, eal);
  const PortCatalog catalog = catalog_of(ports);
  const Restored restored = restore_from(*store, catalog);
  spdlog::info("store {}: generation {}, {} routing domains", bootstrap.store,
               restored.model->generation(), restored.model->domains.size());

  const bool has_xdp =
      std::any_of(bootstrap.ports.begin(), bootstrap.ports.end(),
                  [](const PortConfig& port) { return port.device.starts_with("net_af_xdp"); });
  const AtTheEnd end = has_xdp ? AtTheEnd::detach_xdp : AtTheEnd::nothing;
  drop_privileges(end);  // the threads of store and API start below
  ControlLoop control({.bootstrap = bootstrap,
                       .eal = eal,
                       .ports = ports,
                       .catalog = catalog,
                       .choices = restored.choices,
                       .model = restored.model,
                       .store = *store,
                       .ike = std::move(ike),
                       .bgp = std::move(bgp)});
  const std::string nat_sessions =
      (std::filesystem::path(bootstrap.store).parent_path() / "nat-sessions").string();
  control.restore_nat(nat_sessions);
  {
    const WorkerThreads workers(control);
    ApiServer api(control, bootstrap.api);
    drop_thread_capabilities(end);
    std::thread waiter([&] {
      int signal = 0;
      sigwait(&signals, &signal);
      spdlog::info("signal {}: draining", signal);
      sd_notify(0, "STOPPING=1");
      api.stop();  // the control loop still answers what is under way
      control.stop();
    });
    spdlog::info("hnv-gateway {} is ready: API on {}", version(), bootstrap.api.socket_path);
    sd_notify(0, "READY=1");
    control.run();
    waiter.join();
  }
  control.save_nat(nat_sessions);
  const DropsState last = control.final_drops();
  spdlog::info("ended: {} received, {} sent, {} dropped, ledger {}", last.ledger.rx, last.ledger.tx,
               last.ledger.drops, last.ledger.balanced ? "balanced" : "NOT BALANCED");
}

}  // namespace hnv
