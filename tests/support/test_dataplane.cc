// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_dataplane.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "api/resource_json.h"
#include "tests/support/frame.h"

namespace hnv {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "TestDataplane: %s\n", why.c_str());
  std::abort();
}

MacAddress mac_from(const std::string& text) {
  const auto mac = MacAddress::parse(text);
  if (!mac) die("no MAC address: " + text);
  return *mac;
}

LinkAddress address_of(const std::string& text) {
  const auto address = LinkAddress::parse(text);
  if (!address) die("no address: " + text);
  return *address;
}

Operation operation_of(const TestRequest& request) {
  const auto key = parse_resource_path("/v1/" + request.path);
  if (!key) die("no path: " + request.path);
  if (request.body.empty()) return Delete{*key, {}};
  const auto spec = spec_from_json(*key, request.body);
  if (!spec) {
    die(fmt::format("{} {}: {}", request.path, spec.error().target, spec.error().message));
  }
  return Put{*key, *spec, {}};
}

}  // namespace

TestDataplane::TestDataplane(const std::vector<TestPort>& ports, unsigned workers)
    : ports_(ports), model_(std::make_shared<Model>()) {
  uint32_t id = 0;
  for (const TestPort& port : ports) {
    const MacAddress mac = mac_from(port.mac);
    catalog_.push_back({port.name, port.mtu, mac});
    context_.ports.emplace(
        port.name,
        CompileContext::PortFacts{.id = PortId(id++), .mac = wire::Mac::of(mac), .mtu = port.mtu});
  }
  context_.workers = workers;
  context_.next_uid = &next_uid_;
  choices_.mac_address = [n = uint8_t{1}]() mutable { return MacAddress({2, 0, 0, 0, 0xcc, n++}); };
  choices_.gateway_mac = MacAddress({2, 0, 0, 0, 0, 1});
  compiled_ = compile_nothing(context_);
  publish();
}

tl::expected<Transition, ChangeError> TestDataplane::applied(
    const std::vector<TestRequest>& requests) const {
  Change change;
  for (const TestRequest& request : requests) change.operations.push_back(operation_of(request));
  return apply(model_, change, catalog_, choices_);
}

Compilation TestDataplane::compiled_to(const Model& after) {
  under_way_ = true;
  return compile(compiled_, *model_, after, differences(*model_, after), context_, next_hops_,
                 clock_.now());
}

void TestDataplane::learn(const LearnedRoutes& learned) {
  commit(compile_learned(compiled_, *model_, learned, context_, next_hops_, clock_.now()));
}

void TestDataplane::change(const std::vector<TestRequest>& requests) {
  const auto done = applied(requests);
  if (!done) {
    const auto& [error, operation] = done.error();
    die(fmt::format("{}: {} {}", requests[operation].path, error.target, error.message));
  }
  commit(compiled_to(*done->next));
  model_ = done->next;
}

bool TestDataplane::try_change(const std::vector<TestRequest>& requests) {
  if (!applied(requests)) return false;
  change(requests);
  return true;
}

bool TestDataplane::lose(const std::vector<TestRequest>& requests) {
  const auto done = applied(requests);
  if (!done) return false;
  Compilation lost = compiled_to(*done->next);
  for (const NextHopId id : lost.acquired) next_hops_.release(id, lost.actions);
  next_hops_.apply(lost.actions.changes);
  under_way_ = false;
  publish();
  return true;
}

void TestDataplane::on_pause(const std::function<void()>& hook) {
  context_.pause = [this, hook](Neighbors::Actions& actions) {
    next_hops_.apply(std::exchange(actions, {}).changes);
    hook();
  };
}

std::unique_ptr<TestDataplane> TestDataplane::from_nothing() const {
  auto fresh = std::make_unique<TestDataplane>(ports_, context_.workers);
  fresh->commit(fresh->compiled_to(*model_));
  fresh->model_ = model_;
  return fresh;
}

// What the control loop does with a compilation, but for releasing by and by.
void TestDataplane::commit(Compilation done) {
  Neighbors::Actions& actions = done.actions;
  for (const auto& link : done.new_links) next_hops_.set_link(link, clock_.now(), actions);
  for (const NextHopId id : done.released) next_hops_.release(id, actions);
  for (const LinkId id : done.gone_links) next_hops_.remove_link(id, actions);
  next_hops_.apply(actions.changes);
  std::move(done.moved.begin(), done.moved.end(), std::back_inserter(moved_));
  compiled_ = std::move(done.next);
  under_way_ = false;
  publish();
}

// As the control loop does, between compilations.
void TestDataplane::turn_routes() {
  if (under_way_) return;
  compiled_ = with_turned(compiled_, next_hops_.take_turned(SIZE_MAX), next_hops_);
}

void TestDataplane::publish() {
  turn_routes();
  ++root_.serial;
  copy_tables(*compiled_, root_);
  next_hops_.publish_into(root_.next_hops, root_.links);
  plane_ = std::make_shared<const Dataplane>(root_);
}

void TestDataplane::answer_all() {
  std::vector<NeighborKey> keys;
  for (const auto& [key, entry] : next_hops_.neighbors().entries()) {
    if (entry.status != NeighborStatus::reachable) keys.push_back(key);
  }
  Neighbors::Actions actions;
  for (const NeighborKey& key : keys) {
    next_hops_.learn(key.link, key.address, mac_from(mac_of(key.address)), clock_.now(), actions);
  }
  next_hops_.apply(actions.changes);
  publish();
}

void TestDataplane::answer(const std::string& link_name, const std::string& address,
                           const std::string& mac) {
  Neighbors::Actions actions;
  next_hops_.learn(link(link_name), address_of(address), mac_from(mac), clock_.now(), actions);
  next_hops_.apply(actions.changes);
  publish();
}

void TestDataplane::let_fail(const std::string& link_name, const std::string& address) {
  const NeighborKey key{link(link_name), address_of(address)};
  for (int i = 0; i < 60; ++i) {
    const Neighbors::Entry* entry = next_hops_.neighbors().find(key);
    if (entry == nullptr || entry->status == NeighborStatus::failed) break;
    clock_.advance(std::chrono::seconds(1));
    Neighbors::Actions actions;
    next_hops_.tick(clock_.now(), actions);
    for (const auto& request : std::exchange(actions.requests, {})) {
      if (request.key == key || !request.to) continue;
      next_hops_.learn(request.key.link, request.key.address, *request.to, clock_.now(), actions);
    }
    next_hops_.apply(actions.changes);
  }
  publish();
}

void TestDataplane::learn_path_mtu(const std::string& link_name, const std::string& address,
                                   uint16_t mtu) {
  if (!next_hops_.learn_path_mtu({link(link_name), address_of(address)}, mtu, clock_.now())) {
    die("no such next hop: " + address);
  }
  publish();
}

NextHopId TestDataplane::demand(const std::string& link_name, const std::string& address) {
  Neighbors::Actions actions;
  const NextHopId id =
      next_hops_.demand({link(link_name), address_of(address)}, clock_.now(), actions);
  next_hops_.apply(actions.changes);
  publish();
  return id;
}

void TestDataplane::replace(const std::shared_ptr<const CompartmentView>& view) {
  ++root_.serial;
  root_.compartments = root_.compartments.with(view->id.value(), view);
  plane_ = std::make_shared<const Dataplane>(root_);
}

void TestDataplane::set_ipsec(std::shared_ptr<const IpsecPlan> plan) {
  ++root_.serial;
  root_.ipsec = std::move(plan);
  plane_ = std::make_shared<const Dataplane>(root_);
}

void TestDataplane::withhold(const std::vector<Unsettled>& addresses) {
  const auto tables = without_duplicates({compiled_->attachments, compiled_->l3}, addresses);
  root_.attachments = tables.attachments;
  root_.l3 = tables.l3;
  ++root_.serial;
  plane_ = std::make_shared<const Dataplane>(root_);
}

void TestDataplane::set_trace(std::shared_ptr<PacketTrace> trace) {
  root_.trace = std::move(trace);
  publish();
}

void TestDataplane::end_moved(const std::string& domain, const std::string& ca,
                              const std::string& pa) {
  const MovedRecord over{CaAddress(ip4(ca)), PaAddress(ip4(pa))};
  const auto at = std::find_if(moved_.begin(), moved_.end(), [&](const MovedUntil& one) {
    return one.domain == domain && one.record == over;
  });
  if (at == moved_.end()) die("no such moved record: " + ca);
  moved_.erase(at);
  compiled_ = with_moved(compiled_, {domain}, moved_);
  publish();
}

const CompartmentView& TestDataplane::compartment(const std::string& domain) const {
  const auto* found = compiled_->domains.find(domain);
  if (found == nullptr) die("no such domain: " + domain);
  return *(*found)->view;
}

CompartmentCounters& TestDataplane::counters(const std::string& domain) const {
  return compartment(domain).counters[0];
}

LinkId TestDataplane::link(const std::string& name) const {
  const auto at = compiled_->link_ids.find(name);
  if (at == compiled_->link_ids.end()) die("no such link: " + name);
  return at->second;
}

std::string TestDataplane::mac_of(const LinkAddress& address) {
  if (address.is_v4()) return mac_of(address.v4().value());
  const auto& b = address.bytes();
  return fmt::format("02:a6:{:02x}:{:02x}:{:02x}:{:02x}", b[3], b[7], b[14], b[15]);
}

std::string TestDataplane::mac_of(uint32_t address) {
  return fmt::format("02:aa:{:02x}:{:02x}:{:02x}:{:02x}", address >> 24, address >> 16 & 255,
                     address >> 8 & 255, address & 255);
}

}  // namespace hnv
