// SPDX-License-Identifier: Apache-2.0
//
// The SQLite store: what comes back, what is refused, and what survives a full disk and kill -9.
#include <csignal>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "gateway/store_migrations.h"
#include "gateway/store_sqlite.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

// A folder that goes with the test.
class StoreTest : public ::testing::Test {
 public:
  StoreTest() {
    std::string name = (std::filesystem::temp_directory_path() / "hnv-store-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~StoreTest() override { std::filesystem::remove_all(folder_); }
  StoreTest(const StoreTest&) = delete;
  StoreTest& operator=(const StoreTest&) = delete;
  StoreTest(StoreTest&&) = delete;
  StoreTest& operator=(StoreTest&&) = delete;

 protected:
  [[nodiscard]] std::string path() const { return folder_ / "gateway.db"; }

  [[nodiscard]] std::unique_ptr<SqliteStore> open() const {
    auto store = SqliteStore::open(path());
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
  }
  // The message of an open that must fail.
  [[nodiscard]] std::string refusal() const {
    const auto store = SqliteStore::open(path());
    return store ? "" : store.error().message;
  }
  static ModelPtr load(SqliteStore& store) {
    const auto state = store.load();
    if (!state) throw std::runtime_error(state.error().message);
    auto model = restore(state->generation, state->resources, kTestPorts, test_choices());
    if (!model) throw std::runtime_error(model.error().message);
    return *model;
  }
  void execute(const std::string& sql) const {
    auto connection = SqliteConnection::open(path());
    ASSERT_TRUE(connection.has_value()) << connection.error().message;
    const auto done = connection->run(sql);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }

  std::filesystem::path
      folder_;  // NOLINT(cppcoreguidelines-non-private-member-variables-in-classes)
};

void expect_same(const Model& a, const Model& b) {
  EXPECT_EQ(a.generation(), b.generation());
  const auto left = all_resources(a);
  const auto right = all_resources(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].key, right[i].key);
    EXPECT_EQ(left[i].etag, right[i].etag);
    EXPECT_EQ(spec_to_json(left[i].spec), spec_to_json(right[i].spec));
  }
}

TEST_F(StoreTest, NewStoreIsEmptyAndKeepsItsMac) {
  const auto first = open()->load();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->generation, 0U);
  EXPECT_TRUE(first->resources.empty());
  EXPECT_FALSE(first->gateway_mac.zero() || first->gateway_mac.multicast());
  EXPECT_EQ(open()->load()->gateway_mac, first->gateway_mac);
}

TEST_F(StoreTest, EveryKindOfResourceComesBack) {
  const Model nothing;
  const auto model = must_apply(
      base_model(),
      {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/edge/lookupRecords/wildcard-v4",
        R"({"type":"GatewayWildcard","providerAddress":"192.0.2.60","macAddress":"02:00:5e:00:00:60"})"},
       {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/l2-02:00:5e:00:00:61",
        R"({"type":"L2Only","providerAddress":"192.0.2.60","macAddress":"02:00:5e:00:00:61"})"},
       {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.62",
        R"({"type":"Dynamic","customerAddress":"10.0.0.62","providerAddress":"192.0.2.60","macAddress":"02:00:5e:00:00:62"})"}});
  ASSERT_TRUE(open()->commit(store_writes(nothing, *model), model->generation()));
  const auto loaded = load(*open());
  expect_same(*model, *loaded);
  EXPECT_EQ(index_fault(*loaded), "");
  EXPECT_TRUE(store_writes(*model, *loaded).empty());
}

TEST_F(StoreTest, NatAndItsPoolsComeBack) {
  const auto model = must_apply(base_model(), nat_requests());
  ASSERT_TRUE(open()->commit(store_writes(Model{}, *model), model->generation()));
  const auto loaded = load(*open());
  expect_same(*model, *loaded);
  EXPECT_EQ(index_fault(*loaded), "");
  EXPECT_EQ(loaded->nat("contoso")->spec, model->nat("contoso")->spec);

  // A change of one tenant's writes its row alone; what goes leaves no row.
  const auto store = open();
  const auto changed = must_apply(loaded, {{"PUT", "/v1/routingDomains/contoso/nat"}});
  const auto writes = store_writes(*loaded, *changed);
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_EQ(std::get<PutResourceRow>(writes[0]).path, "/v1/routingDomains/contoso/nat");
  const auto gone = must_apply(changed, {{"DELETE", "/v1/routingDomains/contoso/nat"},
                                         {"DELETE", "/v1/publicIPAddresses/contoso-only"}});
  ASSERT_TRUE(store->commit(store_writes(*loaded, *gone), gone->generation()));
  expect_same(*gone, *load(*store));
}

// What others changed in the file is held to the model's rules.
TEST_F(StoreTest, NatThatDoesNotFitIsNamed) {
  const auto model = must_apply(base_model(), nat_requests());
  ASSERT_TRUE(open()->commit(store_writes(Model{}, *model), model->generation()));
  execute("DELETE FROM resource WHERE path = '/v1/publicIPAddresses/shared'");
  const auto state = open()->load();
  ASSERT_TRUE(state.has_value());
  const auto loaded = restore(1, state->resources, kTestPorts, test_choices());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().message,
            "stored resource /v1/routingDomains/contoso/nat /outboundRules/0/pool: "
            "/v1/publicIPAddresses/shared does not exist: create it first");
}

TEST_F(StoreTest, WhatTheServerDerivedIsDerivedAgain) {
  const auto store = open();
  auto model = base_model();
  ASSERT_TRUE(store->commit(store_writes(Model{}, *model), model->generation()));
  // The gateway address was never asked for, so it follows the prefix, also after a restart.
  model = must_apply(
      load(*store),
      {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/edge",
        R"({"addressPrefixes":["10.3.0.0/24"],"kind":"gateway","providerNetwork":"fabric"})"}});
  const auto* edge = model->subnet("contoso", "edge");
  ASSERT_EQ(edge->gateway_addresses.size(), 1U);
  EXPECT_EQ(edge->gateway_addresses[0].to_string(), "10.3.0.2");
}

TEST_F(StoreTest, ChangesReplaceAndDeleteRows) {
  const auto store = open();
  const auto before = base_model();
  ASSERT_TRUE(store->commit(store_writes(Model{}, *before), before->generation()));
  const auto after =
      must_apply(before, {{"DELETE", "/v1/routingDomains/contoso/customerRoutes/branch"},
                          {"DELETE", "/v1/routingDomains/contoso/virtualSubnets/web"},
                          {"DELETE", "/v1/routingDomains/fabrikam/networkConnections/private"},
                          {"PUT", "/v1/routingDomains/fabrikam", R"({"description":"new"})"}});
  const auto writes = store_writes(*before, *after);
  EXPECT_EQ(writes.size(), 5U);  // the four, and the record that went with its subnet
  ASSERT_TRUE(store->commit(writes, after->generation()));
  expect_same(*after, *load(*store));
}

TEST_F(StoreTest, FileIsItsOwnersOnly) {
  std::ofstream(path()).close();
  std::filesystem::permissions(path(), std::filesystem::perms(0644));
  const auto store = open();
  ASSERT_TRUE(store->commit({}, 1));
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    EXPECT_EQ(static_cast<unsigned>(file.status().permissions()), 0600U) << file.path();
  }
}

TEST_F(StoreTest, SecondGatewayIsRefused) {
  auto first = open();
  EXPECT_NE(refusal().find("another hnv-gateway uses this store"), std::string::npos) << refusal();
  first.reset();
  EXPECT_EQ(refusal(), "");
}

TEST_F(StoreTest, NewerFileIsRefused) {
  open().reset();
  execute(fmt::format("PRAGMA user_version = {}", kStoreVersion + 1));
  EXPECT_NE(refusal().find("newer hnv-gateway"), std::string::npos) << refusal();
}

TEST_F(StoreTest, OtherProgramsFileIsRefusedAndUntouched) {
  std::ofstream(path()).close();
  execute("CREATE TABLE theirs (x)");
  EXPECT_NE(refusal().find("another program"), std::string::npos) << refusal();
  auto connection = SqliteConnection::open(path());
  EXPECT_EQ(*connection->number("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(StoreTest, FileThatIsNoDatabaseIsRefused) {
  std::ofstream(path()) << std::string(5000, 'x');
  EXPECT_NE(refusal().find("not a database"), std::string::npos) << refusal();
}

TEST_F(StoreTest, UnreadableRowIsNamed) {
  struct Case {
    const char* sql;
    const char* names;
  };
  const Case cases[] = {
      {"INSERT INTO resource VALUES ('/v1/routingDomains/x', 'routingDomains', '{', 1)",
       "/v1/routingDomains/x"},
      {"INSERT INTO resource VALUES ('/v1/nonsense/x', 'nonsense', '{}', 1)", "/v1/nonsense/x"},
      {"INSERT INTO lookup_record VALUES ('d', 's', '10.0.0.4', 'Static', '10.0.0.4', 'here', "
       "'02:00:5e:00:00:04', 1)",
       "/v1/routingDomains/d/virtualSubnets/s/lookupRecords/10.0.0.4"},
  };
  for (const auto& [sql, names] : cases) {
    const auto store = open();
    execute(sql);
    const auto state = store->load();
    ASSERT_FALSE(state.has_value());
    EXPECT_NE(state.error().message.find(names), std::string::npos) << state.error().message;
    execute("DELETE FROM resource; DELETE FROM lookup_record");
  }
}

TEST_F(StoreTest, RowThatDoesNotFitTheOthersIsNamed) {
  const auto store = open();
  execute(
      "INSERT INTO resource VALUES ('/v1/externalNetworks/x', 'externalNetworks', "
      "'{\"port\":\"gone0\"}', 1)");
  const auto state = store->load();
  ASSERT_TRUE(state.has_value());
  const auto model = restore(1, state->resources, kTestPorts, test_choices());
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().message,
            "stored resource /v1/externalNetworks/x /port: there is no port gone0; the ports are: "
            "fabric0, wan0, wan1, small0");
}

TEST_F(StoreTest, FullDiskChangesNothing) {
  const auto store = open();
  auto before = base_model();
  ASSERT_TRUE(store->commit(store_writes(Model{}, *before), before->generation()));
  ASSERT_TRUE(store->limit_pages(20));
  DesiredState many(*before);
  for (int i = 0; i < 1000; ++i) {
    auto domain = std::make_shared<DomainModel>();
    domain->name = "domain" + std::to_string(i);
    domain->spec.routing_domain_id = Guid::random();
    domain->etag = 99;
    many.domains.insert_or_assign(domain->name, domain);
  }
  const auto full = store->commit(store_writes(*before, many), 99);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::insufficient_storage) << full.error().message;
  expect_same(*before, *load(*store));
  // A change that fits still does.
  const auto small = must_apply(before, {{"PUT", "/v1/routingDomains/small"}});
  ASSERT_TRUE(store->commit(store_writes(*before, *small), small->generation()));
  expect_same(*small, *load(*store));
}

// A child commits generation after generation, each of which sets the description of two domains,
// and reports each through a pipe when the store says that it is durable; then it is killed.
TEST_F(StoreTest, KilledProcessLosesNothingThatWasAcknowledged) {
  const std::vector<Request> domains{{"PUT", "/v1/routingDomains/a"},
                                     {"PUT", "/v1/routingDomains/b"}};
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = open();
      auto model = load(*store);
      while (true) {
        const std::string body = fmt::format(R"({{"description":"{}"}})", model->generation() + 1);
        const auto next = must_apply(
            model, {{"PUT", "/v1/routingDomains/a", body}, {"PUT", "/v1/routingDomains/b", body}});
        if (!store->commit(store_writes(*model, *next), next->generation())) _exit(1);
        const uint64_t done = next->generation();
        if (write(ends[1], &done, sizeof done) != sizeof done) _exit(1);
        model = next;
      }
    }
    close(ends[1]);
    uint64_t acknowledged = 0;
    uint64_t target = 0;
    while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
      if (target == 0) target = acknowledged + 20 + static_cast<uint64_t>(round);
      if (acknowledged == target) kill(child, SIGKILL);  // what it did meanwhile is still read
    }
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const auto model = load(*open());
    EXPECT_GE(model->generation(), acknowledged);
    EXPECT_LE(model->generation(), acknowledged + 1);
    const std::string description = std::to_string(model->generation());
    EXPECT_EQ(model->domain("a")->spec.description, description);
    EXPECT_EQ(model->domain("b")->spec.description, description);
  }
}

// tests/gateway/stores/version-1.db was written by the first version. See stores/README.md.
TEST_F(StoreTest, FirstVersionsFileIsRead) {
  std::filesystem::copy_file(HNV_TEST_STORES "/version-1.db", path());
  const auto store = open();
  EXPECT_EQ(store->load()->gateway_mac, test_gateway_mac());
  expect_same(*base_model(), *load(*store));
}

TEST_F(StoreTest, WritesTheFixture) {
  const char* file = std::getenv("HNV_WRITE_STORE");
  if (file == nullptr) GTEST_SKIP() << "only for a new version of the schema";
  const auto model = base_model();
  ASSERT_TRUE(open()->commit(store_writes(Model{}, *model), model->generation()));
  execute(fmt::format("UPDATE gateway SET mac_address = '{}'", test_gateway_mac().to_string()));
  execute("PRAGMA journal_mode = DELETE");  // all of it in the one file
  std::filesystem::copy_file(path(), file);
}

// That loading what a large gateway holds is far from the two seconds that a restart may take.
// Processor time, so that a busy machine does not count; not where a sanitizer slows all down.
TEST_F(StoreTest, LargeStoreLoadsQuickly) {
  const auto store = open();
  std::vector<Request> requests{base_requests()[0]};
  std::deque<std::string> text;  // Request holds views
  const auto keep = [&](std::string s) -> std::string_view {
    return text.emplace_back(std::move(s));
  };
  for (int i = 0; i < 4000; ++i) {
    const std::string domain = fmt::format("/v1/routingDomains/d{}", i);
    const std::string subnet = domain + "/virtualSubnets/s";
    requests.push_back({"PUT", keep(domain)});
    requests.push_back(
        {"PUT", keep(subnet),
         R"({"addressPrefixes":["10.0.0.0/24"],"kind":"gateway","providerNetwork":"fabric"})"});
    for (int vm = 4; vm < 6; ++vm) {
      requests.push_back(
          {"PUT", keep(fmt::format("{}/lookupRecords/10.0.0.{}", subnet, vm)),
           keep(fmt::format(R"({{"customerAddress":"10.0.0.{}","providerAddress":"192.0.2.50",)"
                            R"("macAddress":"02:00:5e:00:00:04"}})",
                            vm))});
    }
  }
  const Change change = change_of(requests);
  const auto started = std::clock();
  const auto model = apply(std::make_shared<Model>(), change, kTestPorts, test_choices())->next;
  const auto applied = std::clock();
  ASSERT_TRUE(store->commit(store_writes(Model{}, *model), model->generation()));
  const auto stored = std::clock();
  const auto loaded = load(*store);
  const auto done = std::clock();
  const auto ms = [](std::clock_t from, std::clock_t to) {
    return static_cast<int>((to - from) * 1000 / CLOCKS_PER_SEC);
  };
  RecordProperty("apply_ms", ms(started, applied));
  RecordProperty("store_ms", ms(applied, stored));
  RecordProperty("load_ms", ms(stored, done));
  expect_same(*model, *loaded);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(ms(stored, done), 1000);
#endif
}

}  // namespace
}  // namespace hnv
