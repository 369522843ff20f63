// SPDX-License-Identifier: Apache-2.0
//
// The two tenants' network as an operator would ask for it.
#include <fmt/format.h>

#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

TestRequest record(const std::string& subnet, const std::string& ca, const std::string& pa,
                   const std::string& mac, const std::string& type = "Static") {
  return {subnet + "/lookupRecords/" + ca,
          fmt::format(R"({{"customerAddress":"{}","providerAddress":"{}","macAddress":"{}",
                           "type":"{}"}})",
                      ca, pa, mac, type)};
}

TestRequest nameless(const std::string& subnet, const std::string& id, const std::string& pa,
                     const std::string& mac, const std::string& type) {
  return {
      subnet + "/lookupRecords/" + id,
      fmt::format(R"({{"providerAddress":"{}","macAddress":"{}","type":"{}"}})", pa, mac, type)};
}

void add_subnets(const Tenant& tenant, const std::string& domain, std::vector<TestRequest>& out) {
  const auto subnet = [&](const char* name, uint32_t vsid, const std::string& rest) {
    out.push_back({domain + "/virtualSubnets/" + name,
                   fmt::format(R"({{"virtualSubnetId":{},{}}})", vsid, rest)});
  };
  subnet("gateway", tenant.gateway,
         R"("addressPrefixes":["10.0.0.0/24","fd10::/64"],"kind":"gateway",
            "providerNetwork":"fabric")");
  subnet("web", tenant.web,
         R"("addressPrefixes":["10.0.1.0/24","fd10:0:0:1::/64"],"providerNetwork":"fabric")");
  subnet("db", tenant.db,
         R"("addressPrefixes":["10.0.2.0/24","fd10:0:0:2::/64"],"router":"gateway",
            "providerNetwork":"fabric",
            "providerAddress":"10.250.0.2","mtu":1400)");
  subnet("far", tenant.far, R"("addressPrefixes":["10.0.3.0/24"],"providerNetwork":"tagged")");
  subnet("six", tenant.six,
         R"("addressPrefixes":["10.0.4.0/24","fd10:0:0:4::/64"],"router":"gateway",
            "providerNetwork":"six")");
}

void add_records(const std::string& domain, std::vector<TestRequest>& out) {
  const std::string subnets = domain + "/virtualSubnets/";
  out.push_back(record(subnets + "web", "10.0.1.11", "10.250.0.11", kVm11Mac));
  out.push_back(record(subnets + "web", "10.0.1.12", "10.250.0.12", kVm12Mac, "Dynamic"));
  out.push_back(record(subnets + "web", "10.0.1.13", "10.251.0.13", kVm13Mac));
  out.push_back(record(subnets + "db", "10.0.2.21", "10.250.0.12", kVm21Mac));
  out.push_back(record(subnets + "far", "10.0.3.31", "10.252.0.13", kVm31Mac));
  out.push_back(record(subnets + "web", "fd10:0:0:1::11", "10.250.0.11", kVm11Mac));
  out.push_back(record(subnets + "web", "fd10:0:0:1::12", "10.250.0.12", kVm12Mac));
  out.push_back(record(subnets + "db", "fd10:0:0:2::21", "10.250.0.12", kVm21Mac));
  out.push_back(record(subnets + "six", "10.0.4.41", "fd60::11", kVm41Mac));
  out.push_back(record(subnets + "six", "fd10:0:0:4::41", "fd60::11", kVm41Mac));
  out.push_back(record(subnets + "six", "fd10:0:0:4::42", "fd61::12", kVm42Mac));
  out.push_back(
      nameless(subnets + "six", "wildcard-v6", "fd60::77", kOtherGatewayMac, "GatewayWildcard"));
  const std::string l2 = std::string("l2-") + kL2Mac;
  out.push_back(nameless(subnets + "web", l2, "10.250.0.11", kL2Mac, "L2Only"));
  out.push_back(nameless(subnets + "gateway", "wildcard-v4", "10.250.0.77", kOtherGatewayMac,
                         "GatewayWildcard"));
  // The hosts' policy, pushed unchanged: it names the gateway itself.
  out.push_back(
      nameless(subnets + "web", "wildcard-v4", "10.250.0.1", kGatewayMac, "GatewayWildcard"));
}

void add_doors(const Tenant& tenant, const std::string& domain, std::vector<TestRequest>& out) {
  const std::string connections = domain + "/networkConnections/";
  out.push_back({connections + "private", fmt::format(R"({{"connectionType":"L3",
      "l3Configuration":{{"port":"wan0","vlanId":{},"macAddress":"{}",
        "ipAddresses":["192.168.7.1/24","fd07::1/64"],
        "peerIPAddresses":["192.168.7.254","fd07::fe"]}},
      "routes":[{{"destinationPrefix":"172.16.0.0/16"}},{{"destinationPrefix":"fd16::/32"}}]}})",
                                                      tenant.private_vlan, kPrivateMac)});
  out.push_back({connections + "shared", fmt::format(R"({{"connectionType":"L3",
      "l3Configuration":{{"externalNetwork":"campus","macAddress":"{}",
        "ipAddresses":["192.168.9.1/24","fd09::1/64"]}}}})",
                                                     tenant.shared_mac)});
  const auto route = [&](const char* id, const char* prefix, const char* next_hop) {
    out.push_back(
        {domain + "/customerRoutes/" + id,
         fmt::format(R"({{"destinationPrefix":"{}","nextHop":"{}"}})", prefix, next_hop)});
  };
  route("other-gateway", "172.20.0.0/16", "10.0.0.77");
  route("router-vm", "172.21.0.0/16", "10.0.1.12");
  route("nobody", "172.22.0.0/16", "10.0.1.99");
  route("router-vm-v6", "fd21::/32", "fd10:0:0:1::12");
  route("other-gateway-v6", "fd20::/32", "fd10:0:0:4::77");
}

}  // namespace

std::vector<TestPort> twin_ports() {
  return {{"fabric0", kFabricMac, 1700}, {"wan0", kWanMac, 1500}};
}

std::vector<TestRequest> twin_requests() {
  std::vector<TestRequest> out = {
      {"providerNetworks/fabric",
       R"({"port":"fabric0","providerAddresses":["10.250.0.1/24","10.250.0.2/24"],
           "routes":[{"destinationPrefix":"10.251.0.0/16","nextHop":"10.250.0.254"}]})"},
      {"providerNetworks/tagged",
       R"({"port":"fabric0","vlanId":50,"providerAddresses":["10.252.0.1/24"],"flowId":"zero"})"},
      {"providerNetworks/six",
       R"({"port":"fabric0","vlanId":60,"providerAddresses":["fd60::1/64"],
           "routes":[{"destinationPrefix":"fd61::/64","nextHop":"fd60::fe"}],
           "providerAddressOverrides":[{"providerAddressPrefix":"fd61::/64","flowId":"zero"}]})"},
      {"externalNetworks/campus",
       R"({"port":"wan0","vlanId":30,"ipAddresses":["192.0.2.1/24","2001:db8:30::1/64"]})"},
  };
  for (const Tenant& tenant : kTwins) {
    const std::string domain = "routingDomains/" + tenant.name;
    out.push_back({domain, "{}"});
    add_subnets(tenant, domain, out);
    add_records(domain, out);
    add_doors(tenant, domain, out);
  }
  return out;
}

}  // namespace hnv
