// SPDX-License-Identifier: Apache-2.0
//
// A Dataplane made the way the product makes it: JSON → spec → apply → compile → publish, with the
// neighbours of the outside networks played by the test. What the stations see in a test is what
// they see in the gateway.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/address_watch.h"
#include "gateway/compile.h"
#include "gateway/trace.h"
#include "tests/support/manual_clock.h"

namespace hnv {

struct TestPort {
  std::string name;
  std::string mac;
  uint16_t mtu = 1500;
};

struct TestRequest {
  std::string path;  // without "/v1/"
  std::string body;  // empty: DELETE
};

class TestDataplane {
 public:
  explicit TestDataplane(const std::vector<TestPort>& ports, unsigned workers = 1);
  TestDataplane(const TestDataplane&) = delete;
  TestDataplane& operator=(const TestDataplane&) = delete;
  TestDataplane(TestDataplane&&) = delete;
  TestDataplane& operator=(TestDataplane&&) = delete;
  ~TestDataplane() = default;

  // One transaction, published. Dies when the model refuses it.
  void change(const std::vector<TestRequest>& requests);
  // The same; false when the model refuses it, and nothing has changed.
  [[nodiscard]] bool try_change(const std::vector<TestRequest>& requests);
  // A change that is compiled and then cannot be stored: everything is given back. False when the
  // model refuses it.
  bool lose(const std::vector<TestRequest>& requests);
  // What BGP says of prefixes, published.
  void learn(const LearnedRoutes& learned);
  // Runs between two steps of a compilation, as what the control loop does then.
  void on_pause(const std::function<void()>& hook);
  // Another one, compiled from nothing in one go from the desired state of this one.
  [[nodiscard]] std::unique_ptr<TestDataplane> from_nothing() const;

  // Every neighbour that is asked for answers, with mac_of(its address).
  void answer_all();
  void answer(const std::string& link, const std::string& address, const std::string& mac);
  // The neighbour has been asked in vain; others that were known have answered meanwhile.
  void let_fail(const std::string& link, const std::string& address);
  // The fabric has told of the path to a host.
  void learn_path_mtu(const std::string& link, const std::string& address, uint16_t mtu);
  // A packet has asked for an on-link neighbour of an L3 connection.
  NextHopId demand(const std::string& link, const std::string& address);

  // Own addresses that are not verified, or somebody else's, from now on (gateway/address_watch.h).
  void withhold(const std::vector<Unsettled>& addresses);
  // Instead of the compiled one: for views that no configuration makes yet.
  void replace(const std::shared_ptr<const CompartmentView>& view);
  void set_ipsec(std::shared_ptr<const IpsecPlan> plan);
  void set_trace(std::shared_ptr<PacketTrace> trace);
  void end_moved(const std::string& domain, const std::string& ca, const std::string& pa);

  [[nodiscard]] const ModelPtr& model() const { return model_; }
  [[nodiscard]] const Compiled& compiled() const { return *compiled_; }
  [[nodiscard]] const Dataplane& plane() const { return *plane_; }
  [[nodiscard]] std::shared_ptr<const Dataplane> root() const { return plane_; }
  [[nodiscard]] const CompartmentView& compartment(const std::string& domain) const;
  [[nodiscard]] CompartmentCounters& counters(const std::string& domain) const;
  [[nodiscard]] ManualClock& clock() { return clock_; }
  [[nodiscard]] const NextHops& next_hops() const { return next_hops_; }
  [[nodiscard]] static std::string mac_of(uint32_t address);            // "02:aa:" and the address
  [[nodiscard]] static std::string mac_of(const LinkAddress& address);  // IPv6: "02:a6:" and some

 private:
  [[nodiscard]] tl::expected<Transition, ChangeError> applied(
      const std::vector<TestRequest>& requests) const;
  [[nodiscard]] Compilation compiled_to(const Model& after);
  void turn_routes();
  void commit(Compilation done);
  void publish();
  [[nodiscard]] LinkId link(const std::string& name) const;

  std::vector<TestPort> ports_;
  ManualClock clock_;
  PortCatalog catalog_;
  ServerChoices choices_;
  uint64_t next_uid_ = 1;
  CompileContext context_;
  NextHops next_hops_;
  ModelPtr model_;
  std::shared_ptr<const Compiled> compiled_;
  bool under_way_ = false;
  std::deque<MovedUntil> moved_;
  Dataplane root_;
  std::shared_ptr<const Dataplane> plane_;
};

}  // namespace hnv
