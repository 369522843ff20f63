// SPDX-License-Identifier: Apache-2.0
//
// Every check of the model, each with its error code and target, as a table over the base state.
#include <gtest/gtest.h>

#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

struct Refusal {
  const char* name;
  std::vector<Request> requests;
  ErrorCode code;
  const char* target;
  const char* mentions;  // what the message must say
  size_t operation = 0;
};

std::ostream& operator<<(std::ostream& out, const Refusal& refusal) { return out << refusal.name; }

class ModelRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(ModelRefuses, WithCodeTargetAndMessage) {
  const auto& refusal = GetParam();
  const auto base = base_model();
  const auto before = all_resources(*base).size();
  const auto done = try_apply(base, refusal.requests);
  ASSERT_FALSE(done.has_value());
  const auto& [error, operation] = done.error();
  EXPECT_EQ(to_string(error.code), to_string(refusal.code)) << error.message;
  EXPECT_EQ(error.target, refusal.target) << error.message;
  EXPECT_EQ(operation, refusal.operation);
  EXPECT_NE(error.message.find(refusal.mentions), std::string::npos) << error.message;
  EXPECT_EQ(all_resources(*base).size(), before);
  EXPECT_EQ(index_fault(*base), "");
}

std::string name_of(const ::testing::TestParamInfo<Refusal>& info) {
  std::string name;
  bool upper = true;
  for (const char* c = info.param.name; *c != '\0'; ++c) {
    if (std::isalnum(static_cast<unsigned char>(*c)) == 0) {
      upper = true;
    } else {
      name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(*c))) : *c;
      upper = false;
    }
  }
  return name;
}

// clang-format off
const Refusal kNetworks[] = {
  {"provider network on no port",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"eth9","providerAddresses":["192.0.2.9/24"]})"}},
   ErrorCode::unfit, "/port", "the ports are: fabric0, wan0"},
  {"provider network on another one's VLAN",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.9/24"]})"}},
   ErrorCode::conflict, "/vlanId", "/v1/providerNetworks/fabric"},
  {"provider network on an external network's VLAN",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan0","vlanId":20,"providerAddresses":["192.0.2.9/24"]})"}},
   ErrorCode::conflict, "/vlanId", "/v1/externalNetworks/campus"},
  {"provider network on a private connection's VLAN",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","vlanId":7,"providerAddresses":["192.0.2.9/24"]})"}},
   ErrorCode::conflict, "/vlanId", "/v1/routingDomains/fabrikam/networkConnections/private"},
  {"provider network without address",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":[]})"}},
   ErrorCode::invalid_value, "/providerAddresses", "at least one"},
  {"provider addresses in overlapping prefixes",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24","192.0.2.130/25"]})"}},
   ErrorCode::unfit, "/providerAddresses/1", "192.0.2.1/24"},
  {"provider address twice",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24","192.0.2.1/25"]})"}},
   ErrorCode::invalid_value, "/providerAddresses/1", "twice"},
  {"provider route through a stranger",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"198.51.100.1"}]})"}},
   ErrorCode::unfit, "/routes/0/nextHop", "not on-link"},
  {"provider route through itself",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.1"}]})"}},
   ErrorCode::unfit, "/routes/0/nextHop", "own address"},
  {"provider route through a broadcast address",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.255"}]})"}},
   ErrorCode::unfit, "/routes/0/nextHop", "broadcast"},
  {"provider route to multicast",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"239.0.0.0/8","nextHop":"192.0.2.9"}]})"}},
   ErrorCode::unfit, "/routes/0/destinationPrefix", "multicast"},
  {"provider route twice",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"10.0.0.0/8","nextHop":"192.0.2.9"},{"destinationPrefix":"10.0.0.0/8","nextHop":"192.0.2.9","metric":7}]})"}},
   ErrorCode::unfit, "/routes", "twice"},
  {"provider address override twice",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","providerAddresses":["192.0.2.1/24"],
     "providerAddressOverrides":[{"providerAddressPrefix":"10.0.0.0/8","flowId":"zero"},{"providerAddressPrefix":"10.0.0.0/8","flowId":"hash"}]})"}},
   ErrorCode::unfit, "/providerAddressOverrides", "twice"},
  {"provider network with more MTU than its port",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","mtu":1501,"providerAddresses":["192.0.2.1/24"]})"}},
   ErrorCode::unfit, "/mtu", "618 to 1500"},
  {"provider network with too little MTU",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"wan1","mtu":617,"providerAddresses":["192.0.2.1/24"]})"}},
   ErrorCode::unfit, "/mtu", "618"},
  {"provider network on a port with too little MTU",
   {{"PUT", "/v1/providerNetworks/n", R"({"port":"small0","providerAddresses":["192.0.2.1/24"]})"}},
   ErrorCode::unfit, "/port", "618"},
  {"provider network loses a subnet's address",
   {{"PUT", "/v1/providerNetworks/fabric", R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.1/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"}},
   ErrorCode::conflict, "/providerAddresses", "/v1/routingDomains/fabrikam/virtualSubnets/web"},
  {"provider network loses the way to a record",
   {{"PUT", "/v1/providerNetworks/fabric", R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.1/24","192.0.2.2/24"]})"}},
   ErrorCode::conflict, "/routes", "/v1/routingDomains/fabrikam/virtualSubnets/web/lookupRecords/10.0.0.4"},
  {"provider network takes a host's address",
   {{"PUT", "/v1/providerNetworks/fabric", R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.1/24","192.0.2.2/24","192.0.2.50/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"}},
   ErrorCode::conflict, "/providerAddresses", "lookupRecords/10.0.0.4"},
  {"provider network shrinks below a subnet's MTU",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric","mtu":1500})"},
    {"PUT", "/v1/providerNetworks/fabric", R"({"port":"fabric0","vlanId":10,"mtu":1541,"providerAddresses":["192.0.2.1/24","192.0.2.2/24"],
     "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"}},
   ErrorCode::conflict, "/mtu", "at least 1542", 1},
  {"provider network in use is deleted",
   {{"DELETE", "/v1/providerNetworks/fabric"}},
   ErrorCode::conflict, "/v1/providerNetworks/fabric", "/v1/routingDomains/contoso/virtualSubnets/edge"},

  {"external network on no port",
   {{"PUT", "/v1/externalNetworks/n", R"({"port":"eth9"})"}},
   ErrorCode::unfit, "/port", "no port eth9"},
  {"external network on a fabric's VLAN",
   {{"PUT", "/v1/externalNetworks/n", R"({"port":"fabric0","vlanId":11})"}},
   ErrorCode::conflict, "/vlanId", "/v1/providerNetworks/other"},
  {"external network moves to a VLAN in use",
   {{"PUT", "/v1/externalNetworks/campus", R"({"port":"wan1","vlanId":7})"}},
   ErrorCode::conflict, "/vlanId", "networkConnections/private"},
  {"external route through a stranger",
   {{"PUT", "/v1/externalNetworks/n", R"({"port":"wan1","ipAddresses":["203.0.113.1/24"],
     "routes":[{"destinationPrefix":"0.0.0.0/0","nextHop":"203.0.112.1"}]})"}},
   ErrorCode::unfit, "/routes/0/nextHop", "not on-link"},
  {"external network with more MTU than its port",
   {{"PUT", "/v1/externalNetworks/n", R"({"port":"wan1","mtu":9000})"}},
   ErrorCode::unfit, "/mtu", "1500"},
  {"public prefixes overlap",
   {{"PUT", "/v1/externalNetworks/n", R"({"port":"wan1","publicAddressPrefixes":["203.0.113.0/24","203.0.113.128/25"]})"}},
   ErrorCode::unfit, "/publicAddressPrefixes/1", "203.0.113.0/24"},
  {"external network in use is deleted",
   {{"DELETE", "/v1/externalNetworks/campus"}},
   ErrorCode::conflict, "/v1/externalNetworks/campus", "/v1/routingDomains/contoso/networkConnections/campus"},
};

const Refusal kDomains[] = {
  {"routing domain id of another",
   {{"PUT", "/v1/routingDomains/n", R"({"routingDomainId":"00000000-0000-4000-8000-000000000001"})"}},
   ErrorCode::conflict, "/routingDomainId", "/v1/routingDomains/contoso"},
  {"routing domain id changes",
   {{"PUT", "/v1/routingDomains/contoso", R"({"routingDomainId":"00000000-0000-4000-8000-000000000002"})"}},
   ErrorCode::immutable, "/routingDomainId", "00000000-0000-4000-8000-000000000001"},
  {"record limit below what there is",
   {{"PUT", "/v1/routingDomains/contoso", R"({"limits":{"lookupRecords":0}})"}},
   ErrorCode::conflict, "/limits/lookupRecords", "1"},
  {"route limit below what there is",
   {{"PUT", "/v1/routingDomains/contoso", R"({"limits":{"routes":2}})"}},
   ErrorCode::conflict, "/limits/routes", "3"},
  {"domain with subnets is deleted",
   {{"DELETE", "/v1/routingDomains/contoso"}},
   ErrorCode::conflict, "/v1/routingDomains/contoso", "/v1/routingDomains/contoso/virtualSubnets/edge"},
};

const Refusal kSubnets[] = {
  {"router advertisements of the hosts' router",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["fd00:1::/64"],"providerNetwork":"fabric",
     "routerAdvertisements":{}})"}},
   ErrorCode::unfit, "/routerAdvertisements", "router"},
  {"router advertisements without IPv6",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"fabric",
     "router":"gateway","routerAdvertisements":{}})"}},
   ErrorCode::unfit, "/routerAdvertisements", "IPv6 prefix"},
  {"subnet in no domain",
   {{"PUT", "/v1/routingDomains/n/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::not_found, "/v1/routingDomains/n", "does not exist"},
  {"VSID of another domain",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"virtualSubnetId":6001,"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/virtualSubnetId", "/v1/routingDomains/fabrikam/virtualSubnets/web"},
  {"VSID changes",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"virtualSubnetId":5002,"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::immutable, "/virtualSubnetId", "5001"},
  {"subnet without prefix",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":[],"providerNetwork":"fabric"})"}},
   ErrorCode::invalid_value, "/addressPrefixes", "at least one"},
  {"subnet overlaps another",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24","10.0.0.128/25"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes/1", "/v1/routingDomains/contoso/virtualSubnets/web"},
  {"subnet around others",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.0.0.0/8"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes/0", "/v1/routingDomains/contoso/virtualSubnets/web"},
  {"subnet overlaps a connection",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["172.16.0.0/16"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes/0", "/v1/routingDomains/contoso/networkConnections/campus"},
  {"subnet overlaps itself",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24","10.1.0.0/25"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/addressPrefixes/1", "10.1.0.0/24"},
  {"subnet in loopback",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["127.0.1.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/addressPrefixes/0", "loopback"},
  {"subnet around multicast",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["192.0.0.0/2"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/addressPrefixes/0", "multicast"},
  {"subnet on no provider network",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"n"})"}},
   ErrorCode::unfit, "/providerNetwork", "/v1/providerNetworks/n"},
  {"subnet with a stranger's PA",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"other","providerAddress":"192.0.2.2"})"}},
   ErrorCode::unfit, "/providerAddress", "/v1/providerNetworks/other"},
  {"gateway address outside the subnet",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"kind":"gateway","gatewayAddresses":["10.2.0.1"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/gatewayAddresses/0", "addressPrefixes"},
  {"gateway address is the broadcast address",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"kind":"gateway","gatewayAddresses":["10.1.0.255"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/gatewayAddresses/0", "broadcast"},
  {"gateway subnet without gateway address",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"kind":"gateway","gatewayAddresses":[],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/gatewayAddresses", "at least one"},
  {"gateway address beside the distributed router",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"gatewayAddresses":["10.1.0.1"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/gatewayAddresses", "distributed"},
  {"prefix too small for a gateway address",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/32"],"kind":"gateway","providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/addressPrefixes/0", "too small"},
  {"gateway address is a VM's",
   {{"PUT", "/v1/routingDomains/fabrikam/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"router":"gateway","gatewayAddresses":["10.0.0.4"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/gatewayAddresses", "/v1/routingDomains/fabrikam/virtualSubnets/web/lookupRecords/10.0.0.4"},
  {"subnet with more MTU than its fabric carries",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric","mtu":1659})"}},
   ErrorCode::unfit, "/mtu", "1658"},
  {"distributed subnet without gateway subnet",
   {{"PUT", "/v1/routingDomains/n"},
    {"PUT", "/v1/routingDomains/n/virtualSubnets/s", R"({"addressPrefixes":["10.1.0.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::unfit, "/router", "create that first, or in the same batch", 1},
  {"last gateway subnet is deleted",
   {{"DELETE", "/v1/routingDomains/contoso/virtualSubnets/edge"}},
   ErrorCode::conflict, "/v1/routingDomains/contoso/virtualSubnets/web", "needs a gateway subnet"},
  {"last gateway subnet becomes a VM subnet",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/edge", R"({"addressPrefixes":["10.0.255.0/24"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/v1/routingDomains/contoso/virtualSubnets/edge", "needs a gateway subnet"},
  {"prefix shrinks away from a record",
   {{"DELETE", "/v1/routingDomains/contoso/customerRoutes/branch"},
    {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.128/25"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4", 1},
  {"prefix shrinks away from a next hop",
   {{"DELETE", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4"},
    {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.128/25"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes", "/v1/routingDomains/contoso/customerRoutes/branch", 1},
  {"gateway address becomes a next hop's",
   {{"DELETE", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4"},
    {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"router":"gateway","gatewayAddresses":["10.0.0.4"],"providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes", "/v1/routingDomains/contoso/customerRoutes/branch", 1},
  {"subnet moves away from its hosts",
   {{"PUT", "/v1/routingDomains/fabrikam/virtualSubnets/web", R"({"addressPrefixes":["10.0.0.0/24"],"router":"gateway","providerNetwork":"other"})"}},
   ErrorCode::conflict, "/providerNetwork", "198.51.100.7"},
  {"subnet with a route through it is deleted",
   {{"DELETE", "/v1/routingDomains/contoso/virtualSubnets/web"}},
   ErrorCode::conflict, "/v1/routingDomains/contoso/virtualSubnets/web", "/v1/routingDomains/contoso/customerRoutes/branch"},
};

#define WEB "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/"
const Refusal kRecords[] = {
  {"record in no subnet",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/n/lookupRecords/10.0.0.5", R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.2.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::not_found, "/v1/routingDomains/contoso/virtualSubnets/n", "does not exist"},
  {"record outside its subnet",
   {{"PUT", WEB "10.0.1.5", R"({"customerAddress":"10.0.1.5","providerAddress":"192.0.2.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::unfit, "/customerAddress", "/v1/routingDomains/contoso/virtualSubnets/web"},
  {"record of the network address",
   {{"PUT", WEB "10.0.0.0", R"({"customerAddress":"10.0.0.0","providerAddress":"192.0.2.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::unfit, "/customerAddress", "network address"},
  {"record of the gateway's own address",
   {{"PUT", "/v1/routingDomains/contoso/virtualSubnets/edge/lookupRecords/10.0.255.2", R"({"customerAddress":"10.0.255.2","providerAddress":"192.0.2.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::conflict, "/customerAddress", "gateway's own"},
  {"PA on no provider network",
   {{"PUT", WEB "10.0.0.5", R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.3.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::unfit, "/providerAddress", "on no provider network"},
  {"PA of the gateway",
   {{"PUT", WEB "10.0.0.5", R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.2.2","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::unfit, "/providerAddress", "GatewayWildcard"},
};

#define ROUTE "/v1/routingDomains/contoso/customerRoutes/r"
const Refusal kRoutes[] = {
  {"route in no domain",
   {{"PUT", "/v1/routingDomains/n/customerRoutes/r", R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.0.0.4"})"}},
   ErrorCode::not_found, "/v1/routingDomains/n", "does not exist"},
  {"a new subnet makes a next hop the gateway's own",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.6.0.1"})"},
    {"PUT", "/v1/routingDomains/contoso/virtualSubnets/late",
     R"({"addressPrefixes":["10.6.0.0/24"],"router":"gateway","providerNetwork":"fabric"})"}},
   ErrorCode::conflict, "/addressPrefixes", "10.6.0.1 is the next hop of", 1},
  {"a new connection makes a next hop a broadcast address",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.6.0.255"})"},
    {"PUT", "/v1/routingDomains/contoso/networkConnections/late",
     R"({"connectionType":"L3","l3Configuration":{"port":"wan1","vlanId":77,"ipAddresses":["10.6.0.1/24"]}})"}},
   ErrorCode::conflict, "/l3Configuration/ipAddresses", "10.6.0.255 is the next hop of", 1},
  {"far next hop with a subnet",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.6.0.4","virtualSubnet":"web"})"}},
   ErrorCode::unfit, "/virtualSubnet", "no virtual subnet"},
  {"next hop is a connection's own address",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"172.16.0.2"})"}},
   ErrorCode::unfit, "/nextHop", "/v1/routingDomains/contoso/networkConnections/campus"},
  {"next hop in another subnet than named",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.0.0.4","virtualSubnet":"edge"})"}},
   ErrorCode::unfit, "/virtualSubnet", "/v1/routingDomains/contoso/virtualSubnets/web"},
  {"next hop is the gateway",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.0.255.2"})"}},
   ErrorCode::unfit, "/nextHop", "own address"},
  {"next hop is a broadcast address",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.0.0.255"})"}},
   ErrorCode::unfit, "/nextHop", "broadcast"},
  {"route through no connection",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","networkConnection":"n"})"}},
   ErrorCode::unfit, "/networkConnection", "/v1/routingDomains/contoso/networkConnections/n"},
  {"route to loopback",
   {{"PUT", ROUTE, R"({"destinationPrefix":"127.0.0.0/8","nextHop":"10.0.0.4"})"}},
   ErrorCode::unfit, "/destinationPrefix", "loopback"},
  {"same route under another name",
   {{"PUT", ROUTE, R"({"destinationPrefix":"10.9.0.0/16","nextHop":"10.0.0.4","metric":1})"}},
   ErrorCode::conflict, "/destinationPrefix", "/v1/routingDomains/contoso/customerRoutes/branch"},
  {"one route too many",
   {{"PUT", "/v1/routingDomains/contoso", R"({"limits":{"routes":3}})"},
    {"PUT", ROUTE, R"({"destinationPrefix":"10.7.0.0/16","nextHop":"10.0.0.4"})"}},
   ErrorCode::limit_reached, "", "3 routes", 1},
  {"one record too many",
   {{"PUT", "/v1/routingDomains/contoso", R"({"limits":{"lookupRecords":1}})"},
    {"PUT", WEB "10.0.0.5", R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.2.50","macAddress":"02:00:5e:00:00:05"})"}},
   ErrorCode::limit_reached, "", "1 lookup records", 1},
};

#define L3(rest) R"({"connectionType":"L3","l3Configuration":{)" rest "}"
#define DOOR "/v1/routingDomains/contoso/networkConnections/d"
const Refusal kConnections[] = {
  {"connection to no network",
   {{"PUT", DOOR, L3(R"("externalNetwork":"n","ipAddresses":["172.17.0.2/24"])") "}"}},
   ErrorCode::unfit, "/l3Configuration/externalNetwork", "/v1/externalNetworks/n"},
  {"connection on no port",
   {{"PUT", DOOR, L3(R"("port":"eth9","ipAddresses":["172.17.0.2/24"])") "}"}},
   ErrorCode::unfit, "/l3Configuration/port", "no port eth9"},
  {"private connection on a network's VLAN",
   {{"PUT", DOOR, L3(R"("port":"wan0","vlanId":20,"ipAddresses":["172.17.0.2/24"])") "}"}},
   ErrorCode::conflict, "/l3Configuration/vlanId", "/v1/externalNetworks/campus"},
  {"private connection on another's VLAN",
   {{"PUT", DOOR, L3(R"("port":"wan1","vlanId":7,"ipAddresses":["172.17.0.2/24"])") "}"}},
   ErrorCode::conflict, "/l3Configuration/vlanId", "/v1/routingDomains/fabrikam/networkConnections/private"},
  {"connection overlaps a subnet",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["10.0.0.2/25"])") "}"}},
   ErrorCode::conflict, "/l3Configuration/ipAddresses/0", "/v1/routingDomains/contoso/virtualSubnets/web"},
  {"connection overlaps another",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24","172.16.0.3/24"])") "}"}},
   ErrorCode::conflict, "/l3Configuration/ipAddresses/1", "/v1/routingDomains/contoso/networkConnections/campus"},
  {"connection with another's MAC",
   {{"PUT", "/v1/routingDomains/fabrikam/networkConnections/d",
     L3(R"("externalNetwork":"campus","ipAddresses":["172.17.0.2/24"],"macAddress":"02:00:00:00:01:00")") "}"}},
   ErrorCode::conflict, "/l3Configuration/macAddress", "/v1/routingDomains/contoso/networkConnections/campus"},
  {"connection with the port's MAC",
   {{"PUT", DOOR, L3(R"("externalNetwork":"campus","ipAddresses":["172.17.0.2/24"],"macAddress":"02:00:00:00:00:f1")") "}"}},
   ErrorCode::conflict, "/l3Configuration/macAddress", "port wan0"},
  {"peer that is no neighbour",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24"],"peerIPAddresses":["172.18.0.1"])") "}"}},
   ErrorCode::unfit, "/l3Configuration/peerIPAddresses/0", "not on-link"},
  {"peer that is the gateway",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24"],"peerIPAddresses":["172.17.0.2"])") "}"}},
   ErrorCode::unfit, "/l3Configuration/peerIPAddresses/0", "own address"},
  {"connection's routes without peer",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24"])") R"(,"routes":[{"destinationPrefix":"0.0.0.0/0"}]})"}},
   ErrorCode::unfit, "/routes/0", "peerIPAddresses"},
  {"connection's route twice",
   {{"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24"],"peerIPAddresses":["172.17.0.1"])")
     R"(,"routes":[{"destinationPrefix":"0.0.0.0/0"},{"destinationPrefix":"0.0.0.0/0","metric":5}]})"}},
   ErrorCode::unfit, "/routes", "twice"},
  {"connection's routes above the limit",
   {{"PUT", "/v1/routingDomains/contoso", R"({"limits":{"routes":3}})"},
    {"PUT", DOOR, L3(R"("port":"wan1","ipAddresses":["172.17.0.2/24"],"peerIPAddresses":["172.17.0.1"])")
     R"(,"routes":[{"destinationPrefix":"0.0.0.0/0"}]})"}},
   ErrorCode::limit_reached, "/routes", "3 routes", 1},
  {"connection with a route through it is deleted",
   {{"DELETE", "/v1/routingDomains/contoso/networkConnections/campus"}},
   ErrorCode::conflict, "/v1/routingDomains/contoso/networkConnections/campus", "/v1/routingDomains/contoso/customerRoutes/lab"},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(Networks, ModelRefuses, ::testing::ValuesIn(kNetworks), name_of);
INSTANTIATE_TEST_SUITE_P(Domains, ModelRefuses, ::testing::ValuesIn(kDomains), name_of);
INSTANTIATE_TEST_SUITE_P(Subnets, ModelRefuses, ::testing::ValuesIn(kSubnets), name_of);
INSTANTIATE_TEST_SUITE_P(Records, ModelRefuses, ::testing::ValuesIn(kRecords), name_of);
INSTANTIATE_TEST_SUITE_P(Routes, ModelRefuses, ::testing::ValuesIn(kRoutes), name_of);
INSTANTIATE_TEST_SUITE_P(Connections, ModelRefuses, ::testing::ValuesIn(kConnections), name_of);

}  // namespace
}  // namespace hnv
