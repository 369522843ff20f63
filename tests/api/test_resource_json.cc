// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "api/resource_json.h"

namespace hnv {
namespace {

struct Row {
  std::string_view path;
  std::string_view json;  // with every property, as encode writes it
};

// One resource of each kind with nothing left at its default, and one with as little as can be.
constexpr Row kComplete[] = {
    {"/v1/providerNetworks/fabric",
     R"({"flowId":"zero","dscp":"uniform","duplicateAddressDetection":"off","mtu":1700,"port":"fab0",
        "providerAddressOverrides":[{"flowId":"hash","providerAddressPrefix":"192.0.2.0/28"}],"providerAddresses":["192.0.2.1/24","198.51.100.1/31"],
        "routes":[{"destinationPrefix":"203.0.113.0/24","metric":7,"nextHop":"192.0.2.254"}],"vlanId":100})"},
    {"/v1/externalNetworks/inet",
     R"({"duplicateAddressDetection":"off","ipAddresses":["203.0.113.2/24"],"mtu":9000,"port":"wan0","publicAddressPrefixes":["198.51.100.0/25"],
        "routes":[{"destinationPrefix":"0.0.0.0/0","metric":1,"nextHop":"203.0.113.1"}],"vlanId":0})"},
    {"/v1/routingDomains/contoso",
     R"({"description":"Contoso Ltd.","limits":{"lookupRecords":5,"neighbors":6,"routes":4},
        "routePreferences":{"connected":2,"ebgp":16,"ibgp":201,"local":3,"nat":5,"networkConnection":6,"static":4},
        "routingDomainId":"0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11"})"},
    {"/v1/routingDomains/contoso/virtualSubnets/gw",
     R"({"addressPrefixes":["10.0.9.0/24","10.0.10.0/24"],"gatewayAddresses":["10.0.9.2"],"kind":"gateway",
        "macAddress":"02:00:5e:00:00:01","mtu":1400,"providerAddress":"192.0.2.1","providerNetwork":"fabric",
        "router":"gateway","virtualSubnetId":16777214})"},
    {"/v1/routingDomains/contoso/virtualSubnets/told",
     R"({"addressPrefixes":["2001:db8::/64"],"kind":"vm","providerNetwork":"fabric","router":"gateway",
        "routerAdvertisements":{"autonomous":false,"enabled":false,"interval":200,"managed":true,"mtu":false,"onLink":false,
          "otherConfig":true,"preferredLifetime":0,"routerLifetime":600,"validLifetime":4294967295}})"},
    {"/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4",
     R"({"customerAddress":"10.0.0.4","macAddress":"02:00:00:00:00:04","providerAddress":"192.0.2.11","type":"Dynamic"})"},
    {"/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/wildcard-v4",
     R"({"macAddress":"02:00:00:00:00:05","providerAddress":"192.0.2.12","type":"GatewayWildcard"})"},
    {"/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/l2-02:00:00:00:00:06",
     R"({"macAddress":"02:00:00:00:00:06","providerAddress":"192.0.2.13","type":"L2Only"})"},
    {"/v1/routingDomains/contoso/customerRoutes/default",
     R"({"destinationPrefix":"0.0.0.0/0","metric":12,"nextHop":"10.0.9.1","virtualSubnet":"gw"})"},
    {"/v1/routingDomains/contoso/customerRoutes/office",
     R"({"destinationPrefix":"172.16.0.0/12","metric":256,"networkConnection":"mpls"})"},
    {"/v1/routingDomains/contoso/networkConnections/mpls",
     R"({"connectionType":"L3","inboundKiloBitsPerSecond":0,"l3Configuration":{"ipAddresses":["172.16.0.2/30"],
        "macAddress":"02:00:5e:00:00:09","peerIPAddresses":["172.16.0.1"],"port":"wan0","sourceValidation":"loose",
        "duplicateAddressDetection":"off","vlanId":300},"outboundKiloBitsPerSecond":0,"routes":[{"destinationPrefix":"172.16.0.0/12","metric":3}]})"},
    {"/v1/routingDomains/contoso/networkConnections/shared",
     R"({"connectionType":"L3","inboundKiloBitsPerSecond":0,"l3Configuration":{"externalNetwork":"inet",
        "ipAddresses":["203.0.113.9/24"],"peerIPAddresses":[],"sourceValidation":"strict",
        "duplicateAddressDetection":"optimistic"},
        "outboundKiloBitsPerSecond":0,"routes":[]})"},
    {"/v1/routingDomains/contoso/networkConnections/branch",
     R"({"adminStatus":"Disabled","connectionType":"IPSec","inboundBurstBytes":20000,"inboundKiloBitsPerSecond":0,
        "ipSecConfiguration":{"authenticationMethod":"PSK","destinationIPAddress":"198.51.100.10","ikeInstance":"shared",
          "initiate":"onDemand","localIdentity":"gw.example","localVpnTrafficSelector":[{"ipAddressEnd":"10.0.0.255",
            "ipAddressStart":"10.0.0.0","portEnd":443,"portStart":443,"protocolId":6}],
          "mainMode":{"diffieHellmanGroup":"ECP256","encryptionAlgorithm":"AES256","integrityAlgorithm":"SHA256",
            "saLifeTimeKiloBytes":5,"saLifeTimeSeconds":3600},
          "networkOutageTimeSeconds":30,"numberOfTries":5,"profile":"rras-legacy",
          "quickMode":{"authenticationTransformationConstant":"SHA256128","cipherTransformationConstant":"AES256",
            "idleDisconnectSeconds":60,"perfectForwardSecrecy":"PFS2048","saLifeTimeKiloBytes":2048,"saLifeTimeSeconds":600},
          "remoteIdentity":"site.example","remoteVpnTrafficSelector":[],"retryIntervalSeconds":9,"sharedSecret":"swordfish",
          "sourceIPAddress":"203.0.113.2","udpEncapsulation":"forced"},
        "outboundBurstBytes":30000,"outboundKiloBitsPerSecond":7,
        "routes":[{"destinationPrefix":"10.9.0.0/16","metric":3,"persistent":true}]})"},
    {"/v1/publicIPAddresses/contoso",
     R"({"externalNetwork":"inet","portBlockSize":32,"portRange":{"first":1025,"last":65534},"publicIPAddresses":["203.0.113.4","203.0.113.8/29"],
        "respondToPing":true,"routingDomain":"contoso"})"},
    {"/v1/routingDomains/contoso/nat",
     R"({"destinationPrefixes":["0.0.0.0/0"],"excludePrefixes":["10.0.0.0/8"],"filtering":"AddressDependent","hairpin":false,
        "limits":{"newSessionsPerSecond":1,"portsPerAddress":2,"sessionsPerAddress":3,"sessionsPerDomain":4294967295},"logSessions":true,
        "outboundRules":[{"name":"web","pool":"shared","portRange":{"first":1024,"last":2047},"sourcePrefixes":["10.0.0.0/24"]},
          {"name":"rest","externalNetwork":"inet","publicAddresses":["203.0.113.4"],"sourcePrefixes":["0.0.0.0/0"]}],
        "refusal":"HostProhibited",
        "staticMappings":[{"name":"https","externalNetwork":"inet","protocol":"TCP","publicAddress":"203.0.113.5","publicPort":443,
            "insideAddress":"10.0.0.4","insidePort":8443,"remotePrefix":"198.51.100.0/24"},
          {"name":"dns","externalNetwork":"inet","protocol":"UDP","publicAddress":"203.0.113.5","publicPort":443,
            "insideAddress":"10.0.0.4","insidePort":8443},
          {"name":"host","externalNetwork":"inet","protocol":"All","publicAddress":"2001:db8::5","insideAddress":"fd00::5"}],
        "timeouts":{"icmp":61,"portRest":0,"tcpEstablished":7441,"tcpTransitory":241,"udp":121}})"},
    {"/v1/routingDomains/contoso/bgpRouter",
     R"({"asNumber":4200000000,"clusterId":"10.0.0.9","compareMedAcrossAsn":"Enabled","dampening":{"halfLifeMinutes":10,
          "maxSuppressMinutes":40,"reuse":800,"suppress":2500},"defaultGatewayRouting":"Enabled","ebgpRequiresPolicy":"Disabled",
        "ecmp":4,"holdTimeSeconds":30,"redistributeConnected":"Enabled","redistributeStatic":"Enabled","routerId":"10.0.0.1",
        "transitRouting":"Enabled"})"},
    {"/v1/routingDomains/contoso/policyMaps/in",
     R"({"policyMapEntryList":[{"action":"Permit","match":{"asnRanges":[{"first":64512,"last":65534}],"communities":["65001:100"],
          "ignorePrefixes":[{"prefix":"10.66.0.0/16"}],"nextHops":["172.16.0.1"],
          "prefixes":[{"maxLength":24,"minLength":17,"prefix":"10.0.0.0/8"}]},"sequence":10,
        "set":{"addCommunities":["no-export"],"localPreference":200,"med":5,"nextHop":"172.16.0.9","prependAsPath":[65001,65001],
          "removeCommunities":["65001:1"],"weight":7}},
        {"action":"Deny","match":{"asnRanges":[],"communities":[],"ignorePrefixes":[],"nextHops":[],"prefixes":[]},"sequence":20}]})"},
    {"/v1/routingDomains/contoso/bgpPeers/site",
     R"({"addressFamilies":["IPv4","IPv6"],"adminStatus":"disabled","asNumber":65010,"bfd":{"minReceiveMilliseconds":50,"minTransmitMilliseconds":60,"multiplier":5},
        "gracefulRestart":"Disabled","holdTimeSeconds":9,
        "localIPAddress":"172.16.0.2","maxAllowedPrefix":100,"operationMode":"Server","password":"swordfish","peerIpAddress":"172.16.0.1",
        "policyMapIn":"in","policyMapOut":"out","routeReflectorClient":"Enabled","ttlSecurity":1,"weight":3})"},
    {"/v1/routingDomains/contoso/bgpPeers/far",
     R"({"adminStatus":"enabled","asNumber":65010,"gracefulRestart":"Enabled","maxAllowedPrefix":10000,"multihop":5,
        "operationMode":"Mixed","peerIpAddress":"2001:db8::1","routeReflectorClient":"Disabled","weight":0})"},
    {"/v1/routingDomains/contoso/bgpCustomRoutes",
     R"({"routes":[{"prefix":"10.0.0.0/24"},{"prefix":"fd00::/64"}]})"},
    {"/v1/routingDomains/contoso/bgpAggregates",
     R"({"aggregates":[{"prefix":"10.0.0.0/16","summaryOnly":"Enabled"},{"prefix":"fd00::/48","summaryOnly":"Disabled"}]})"},
};

TEST(ResourceJson, StoresEveryPropertyWithoutLoss) {
  for (const auto& row : kComplete) {
    const auto key = parse_resource_path(row.path);
    ASSERT_TRUE(key) << row.path;
    const auto spec = spec_from_json(*key, row.json);
    ASSERT_TRUE(spec) << row.path << ": " << spec.error().target << " " << spec.error().message;
    EXPECT_EQ(spec->index(), key->index());
    const std::string text = spec_to_json(*spec);
    EXPECT_EQ(Json::parse(text), Json::parse(row.json)) << row.path;
    const auto again = spec_from_json(*key, text);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *spec);
  }
}

constexpr std::string_view kBranch = "/v1/routingDomains/contoso/networkConnections/branch";

// A client that reads and writes back says nothing of secrets.
void forget_secrets(ResourceSpec& spec) {
  if (auto* peer = std::get_if<BgpPeerSpec>(&spec)) peer->password = SharedSecret();
  auto* connection = std::get_if<NetworkConnectionSpec>(&spec);
  if (connection == nullptr || !connection->tunnel) return;
  connection->tunnel->shared_secret = SharedSecret();
  connection->tunnel->certificates.private_key = SharedSecret();
}

TEST(ResourceJson, AnswersSayOnlyThatASecretIsSet) {
  for (const auto& row : kComplete) {
    const auto key = *parse_resource_path(row.path);
    const Json answer = resource_json({key, *spec_from_json(key, row.json), 17});
    EXPECT_EQ(answer.dump().find("swordfish"), std::string::npos) << row.path;
    if (row.path != kBranch) continue;
    EXPECT_EQ(answer["ipSecConfiguration"]["sharedSecretSet"], true);
    EXPECT_FALSE(answer["ipSecConfiguration"].contains("sharedSecret"));
  }
}

TEST(ResourceJson, AnswersSayOnlyThatAPrivateKeyIsSet) {
  NetworkConnectionSpec spec;
  TunnelSpec& tunnel = spec.tunnel.emplace();
  tunnel.authentication_method = IkeAuthentication::certificate;
  tunnel.certificates.certificate = "public";
  tunnel.certificates.private_key = SharedSecret(SecretBytes::of("swordfish"));
  const Json answer = resource_json({*parse_resource_path(kBranch), spec, 1});
  const Json& certificates = answer["ipSecConfiguration"]["certificates"];
  EXPECT_EQ(certificates["privateKeySet"], true);
  EXPECT_EQ(certificates["certificate"], "public");
  EXPECT_EQ(answer.dump().find("swordfish"), std::string::npos);
  EXPECT_NE(spec_to_json(spec).find("swordfish"), std::string::npos);
}

TEST(ResourceJson, NullTakesASecretAwayAndNothingKeepsIt) {
  const auto key = *parse_resource_path(kBranch);
  const auto decode = [&](const char* secret) {
    const Json json = Json::parse(
        std::string(R"({"connectionType":"IPSec","ipSecConfiguration":{"sourceIPAddress":)") +
        R"("203.0.113.2","destinationIPAddress":"198.51.100.10")" + secret + "}}");
    Faults faults;
    const ResourceSpec spec = decode_resource(key, Place{}, json, faults);
    return *std::get<NetworkConnectionSpec>(spec).tunnel;
  };
  TunnelSpec stored = decode(R"(,"sharedSecret":"swordfish")");
  EXPECT_EQ(stored.shared_secret->reveal_text(), "swordfish");
  EXPECT_EQ(with_stored_secrets(decode(""), &stored).shared_secret, stored.shared_secret);
  EXPECT_FALSE(with_stored_secrets(decode(R"(,"sharedSecret":null)"), &stored).shared_secret);
  EXPECT_FALSE(with_stored_secrets(decode(""), nullptr).shared_secret);
  TunnelSpec other = decode("");
  other.authentication_method = IkeAuthentication::certificate;
  EXPECT_FALSE(with_stored_secrets(other, &stored).shared_secret) << "of another method";
}

TEST(ResourceJson, SaysAllThatIsWrongWithATunnelAtOnce) {
  const Json json =
      Json::parse(R"({"connectionType":"IPSec","adminStatus":"On","inboundBurstBytes":1,
      "ipSecConfiguration":{"sourceIPAddress":"x","destinationIPAddress":"198.51.100.10","secret":"swordfish",
        "remoteIdentity":"%any","mainMode":{"saLifeTimeSeconds":1},"quickMode":7,"ikeInstance":"dedicated"},
      "l3Configuration":{},"routes":[{"destinationPrefix":"10.9.0.0/16","persistent":"yes"}]})");
  Faults faults;
  (void)decode_resource(*parse_resource_path(kBranch), Place{}, json, faults);
  ASSERT_FALSE(faults.empty());
  std::set<std::string> targets;
  for (const ErrorDetail& detail : std::move(faults).to_error().details) {
    EXPECT_TRUE(targets.insert(detail.target).second) << detail.target << " twice";
    EXPECT_EQ(detail.message.find("swordfish"), std::string::npos) << detail.message;
  }
  const std::set<std::string> expected{"/adminStatus",
                                       "/inboundBurstBytes",
                                       "/l3Configuration",
                                       "/routes/0/persistent",
                                       "/ipSecConfiguration/sourceIPAddress",
                                       "/ipSecConfiguration/secret",
                                       "/ipSecConfiguration/remoteIdentity",
                                       "/ipSecConfiguration/mainMode/saLifeTimeSeconds",
                                       "/ipSecConfiguration/quickMode",
                                       "/ipSecConfiguration/ikeInstance"};
  EXPECT_EQ(targets, expected);
}

TEST(ResourceJson, ReadsItsOwnAnswers) {
  for (const auto& row : kComplete) {
    const auto key = *parse_resource_path(row.path);
    auto spec = spec_from_json(key, row.json);
    ASSERT_TRUE(spec);
    const Json answer = resource_json({key, *spec, 17});
    forget_secrets(*spec);
    EXPECT_EQ(answer["etag"], "17");
    EXPECT_EQ(answer["resourceRef"], row.path);
    EXPECT_EQ(answer["provisioningState"], "Succeeded");
    Faults faults;
    EXPECT_EQ(decode_resource(key, Place{}, answer, faults), *spec);
    EXPECT_TRUE(faults.empty());
  }
}

TEST(ResourceJson, FillsInTheDocumentedDefaults) {
  const auto domain = spec_from_json(RoutingDomainKey{"a"}, "{}");
  ASSERT_TRUE(domain);
  EXPECT_EQ(std::get<RoutingDomainSpec>(*domain), RoutingDomainSpec{});
  const Json json = Json::parse(spec_to_json(*domain));
  EXPECT_EQ(json["routePreferences"],
            Json::parse(R"({"local":1,"connected":1,"static":3,"networkConnection":3,"nat":3,
                            "ebgp":15,"ibgp":200})"));
  EXPECT_EQ(json["limits"],
            Json::parse(R"({"routes":10000,"lookupRecords":100000,"neighbors":4096})"));
}

TEST(ResourceJson, FillsInTheDefaultsOfNat) {
  const auto nat = spec_from_json(NatKey{"a"}, R"({"outboundRules":[{"name":"all","pool":"p"}]})");
  ASSERT_TRUE(nat);
  const Prefix<Space::customer> everywhere;
  NatSpec expected;
  expected.destination_prefixes = {everywhere};
  expected.outbound_rules.resize(1);
  expected.outbound_rules[0].name = "all";
  expected.outbound_rules[0].pool = "p";
  expected.outbound_rules[0].source_prefixes = {everywhere};
  EXPECT_EQ(std::get<NatSpec>(*nat), expected);
  // A list that is given empty stays empty: static mappings alone.
  const auto none = spec_from_json(NatKey{"a"}, R"({"destinationPrefixes":[]})");
  ASSERT_TRUE(none);
  EXPECT_TRUE(std::get<NatSpec>(*none).destination_prefixes.empty());

  const auto pool =
      spec_from_json(PublicAddressPoolKey{"p"},
                     R"({"externalNetwork":"inet","publicIPAddresses":["203.0.113.4/32"]})");
  ASSERT_TRUE(pool);
  const auto& spec = std::get<PublicAddressPoolSpec>(*pool);
  EXPECT_EQ(spec.port_range, (PortRange{1024, 65535}));
  EXPECT_EQ(port_block_size(spec), 64);
  EXPECT_EQ(Json::parse(spec_to_json(*pool))["publicIPAddresses"],
            Json::parse(R"(["203.0.113.4"])"));
}

struct BadBody {
  std::string_view path;
  std::string_view json;
  std::string_view faults;  // "code pointer" of every fault, in order
};

constexpr BadBody kBadBodies[] = {
    {"/v1/routingDomains/c/bgpRouter", R"({})", "invalidValue /asNumber, invalidValue /routerId"},
    {"/v1/routingDomains/c/bgpRouter",
     R"({"asNumber":23456,"routerId":"fd00::1","transitRouting":true,"dampening":{"half":1}})",
     "invalidValue /asNumber, invalidValue /routerId, invalidValue /transitRouting, "
     "unknownProperty "
     "/dampening/half"},
    {"/v1/routingDomains/c/bgpRouter",
     R"({"asNumber":"0.65001","extAsNumber":"0.65001","routerId":"10.0.0.1"})",
     "invalidValue /extAsNumber"},
    {"/v1/routingDomains/c/bgpRouter",
     R"({"extAsNumber":"1.1","routerId":"10.0.0.1","holdTimeSeconds":2,"ecmp":17})",
     "invalidValue /holdTimeSeconds, invalidValue /ecmp"},
    {"/v1/routingDomains/c/bgpPeers/p",
     R"({"peerIpAddress":"224.0.0.1","asNumber":"x","password":"","bfd":{"rx":1},"addressFamilies":["IPv5"]})",
     "invalidValue /peerIpAddress, invalidValue /asNumber, invalidValue /password, unknownProperty "
     "/bfd/rx, invalidValue /addressFamilies/0"},
    {"/v1/routingDomains/c/bgpPeers/p",
     R"({"peerIpAddress":"10.0.0.1","asNumber":1,"bfd":{"minReceiveMilliseconds":49,"multiplier":1}})",
     "invalidValue /bfd/minReceiveMilliseconds, invalidValue /bfd/multiplier"},
    {"/v1/routingDomains/c/bgpPeers/p",
     R"({"peerIpAddress":"10.0.0.1","asNumber":1,"password":"a b","ttlSecurity":1,"multihop":2})",
     "invalidValue /password, invalidValue /ttlSecurity"},
    {"/v1/routingDomains/c/bgpCustomRoutes", R"({"routes":[{"prefix":"10.0.0.1/24"},{}]})",
     "invalidValue /routes/0/prefix, invalidValue /routes/1/prefix"},
    {"/v1/routingDomains/c/bgpAggregates",
     R"({"aggregates":[{"prefix":"10.0.0.0/8","summaryOnly":1}]})",
     "invalidValue /aggregates/0/summaryOnly"},
    {"/v1/routingDomains/c/policyMaps/m",
     R"({"policyMapEntryList":[{"sequence":0,"action":"Deny","set":{"med":1}},
         {"sequence":0,"match":{"communities":["x"]}}]})",
     "invalidValue /policyMapEntryList/0/sequence, invalidValue /policyMapEntryList/0/set, "
     "invalidValue "
     "/policyMapEntryList/1/sequence, invalidValue /policyMapEntryList/1/match/communities/0"},
    {"/v1/providerNetworks/f", R"(7)", "invalidValue "},
    {"/v1/providerNetworks/f", R"({)", "invalidValue "},
    {"/v1/providerNetworks/f",
     R"({"port":"a b","vlanId":4095,"providerAddresses":["192.0.2.0/24","192.0.2.1","fe80::1/64","127.0.0.1/8"],
         "mtu":100,"flowId":"random","colour":"red"})",
     "invalidValue /port, invalidValue /vlanId, invalidValue /providerAddresses/0, invalidValue "
     "/providerAddresses/1, invalidValue /providerAddresses/2, invalidValue /providerAddresses/3, "
     "invalidValue /mtu, invalidValue /flowId, unknownProperty /colour"},
    {"/v1/providerNetworks/f", R"({})", "invalidValue /port, invalidValue /providerAddresses"},
    {"/v1/providerNetworks/f",
     R"({"port":"p","providerAddresses":["192.0.2.1/24","192.0.2.1/24"]})",
     "invalidValue /providerAddresses/1"},
    {"/v1/externalNetworks/e",
     R"({"port":"p","routes":[{"destinationPrefix":"10.0.0.1/8","nextHop":"224.0.0.1","metric":-1,"a/b~":1},5]})",
     "invalidValue /routes/0/destinationPrefix, invalidValue /routes/0/nextHop, invalidValue "
     "/routes/0/metric, unknownProperty /routes/0/a~1b~0, invalidValue /routes/1"},
    {"/v1/routingDomains/d",
     R"({"routingDomainId":"x","routePreferences":{"static":0,"rip":120},"limits":{"routes":1.5,"natSessions":5}})",
     "invalidValue /routingDomainId, invalidValue /routePreferences/static, unknownProperty "
     "/routePreferences/rip, invalidValue /limits/routes, notSupported /limits/natSessions"},
    {"/v1/routingDomains/d", R"({"resourceId":"e"})", "invalidValue /resourceId"},
    {"/v1/routingDomains/d/virtualSubnets/s",
     R"({"virtualSubnetId":4095,"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"f"})",
     "invalidValue /virtualSubnetId"},
    {"/v1/routingDomains/d/virtualSubnets/s",
     R"({"virtualSubnetId":16777215,"addressPrefixes":["2001:db8::1/64"],"providerNetwork":"f",
         "macAddress":"01:00:5e:00:00:01","accessControlLists":[]})",
     "invalidValue /virtualSubnetId, invalidValue /addressPrefixes/0, invalidValue /macAddress, "
     "notSupported /accessControlLists"},
    {"/v1/routingDomains/d/virtualSubnets/s",
     R"({"addressPrefixes":["2001:db8::/64"],"providerNetwork":"f","routerAdvertisements":
         {"interval":3,"routerLifetime":9001,"managed":1,"validLifetime":-1,"prefixes":[]}})",
     "invalidValue /routerAdvertisements/managed, invalidValue /routerAdvertisements/interval, "
     "invalidValue /routerAdvertisements/routerLifetime, invalidValue "
     "/routerAdvertisements/validLifetime, unknownProperty /routerAdvertisements/prefixes"},
    {"/v1/routingDomains/d/virtualSubnets/s",
     R"({"addressPrefixes":["2001:db8::/64"],"providerNetwork":"f","routerAdvertisements":
         {"interval":600,"routerLifetime":599,"validLifetime":10,"preferredLifetime":11}})",
     "invalidValue /routerAdvertisements/routerLifetime, invalidValue "
     "/routerAdvertisements/preferredLifetime"},
    {"/v1/routingDomains/d/virtualSubnets/s/lookupRecords/10.0.0.4",
     R"({"customerAddress":"10.0.0.5","providerAddress":"192.0.2.1","macAddress":"02:00:00:00:00:01"})",
     "invalidValue /customerAddress"},
    {"/v1/routingDomains/d/virtualSubnets/s/lookupRecords/10.0.0.4",
     R"({"type":"GatewayWildcard","providerAddress":"192.0.2.1","macAddress":"02:00:00:00:00:01"})",
     "invalidValue /type"},
    {"/v1/routingDomains/d/virtualSubnets/s/lookupRecords/l2-02:00:00:00:00:02",
     R"({"type":"L2Only","providerAddress":"192.0.2.1","macAddress":"02:00:00:00:00:01"})",
     "invalidValue /macAddress"},
    {"/v1/routingDomains/d/virtualSubnets/s/lookupRecords/10.0.0.4", R"({"type":"Static"})",
     "invalidValue /providerAddress, invalidValue /macAddress, invalidValue /customerAddress"},
    {"/v1/routingDomains/d/customerRoutes/r",
     R"({"destinationPrefix":"10.0.0.0/8","nextHop":"10.0.0.1","networkConnection":"c"})",
     "invalidValue "},
    {"/v1/routingDomains/d/customerRoutes/r",
     R"({"destinationPrefix":"10.0.0.0/8","networkConnection":"c","virtualSubnet":"s"})",
     "invalidValue /virtualSubnet"},
    {"/v1/routingDomains/d/networkConnections/c",
     R"({"connectionType":"GRE","greConfiguration":{"greKey":7}})", "notSupported /connectionType"},
    {"/v1/routingDomains/d/networkConnections/c",
     R"({"connectionType":"L3","l3Configuration":{"port":"p","externalNetwork":"e","ipAddresses":["10.0.0.1/24"]},
         "outboundKiloBitsPerSecond":5120})",
     "invalidValue /l3Configuration, notSupported /outboundKiloBitsPerSecond"},
    {"/v1/routingDomains/d/networkConnections/c",
     R"({"connectionType":"L3","l3Configuration":{"externalNetwork":"e","vlanId":5,"ipAddresses":[]}})",
     "invalidValue /l3Configuration/vlanId, invalidValue /l3Configuration/ipAddresses"},
    {"/v1/publicIPAddresses/p", R"({})",
     "invalidValue /externalNetwork, invalidValue /publicIPAddresses"},
    {"/v1/publicIPAddresses/p",
     R"({"externalNetwork":"e","publicIPAddresses":[],"portRange":{"first":0,"last":70000},"portBlockSize":12,
         "routingDomain":"a b","respondToPing":1,"vlanId":3})",
     "invalidValue /publicIPAddresses, invalidValue /portRange/first, invalidValue "
     "/portRange/last, "
     "invalidValue /portBlockSize, invalidValue /routingDomain, invalidValue /respondToPing, "
     "unknownProperty /vlanId"},
    {"/v1/publicIPAddresses/p",
     R"({"externalNetwork":"e","publicIPAddresses":["203.0.113.4/24","2001:db8::1","127.0.0.1","224.0.0.0/24",4,"203.0.113.4"]})",
     "invalidValue /publicIPAddresses/0, invalidValue /publicIPAddresses/1, invalidValue "
     "/publicIPAddresses/2, invalidValue /publicIPAddresses/3, invalidValue /publicIPAddresses/4"},
    {"/v1/publicIPAddresses/p",
     R"({"externalNetwork":"e","publicIPAddresses":["203.0.113.0/28","203.0.113.4"],"portRange":{"first":2000,"last":1999}})",
     "invalidValue /publicIPAddresses, invalidValue /portRange"},
    {"/v1/publicIPAddresses/p",
     R"({"externalNetwork":"e","publicIPAddresses":["100.64.0.0/19"],"portRange":{"first":5,"last":7}})",
     "invalidValue /publicIPAddresses, invalidValue /portRange"},
    {"/v1/publicIPAddresses/p",
     R"({"externalNetwork":"e","publicIPAddresses":["203.0.113.4"],"portRange":{"first":4,"last":35},"portBlockSize":64})",
     "invalidValue /portBlockSize"},
    {"/v1/routingDomains/d/nat",
     R"({"destinationPrefixes":["::/0","0.0.0.0/0","0.0.0.0/0"],"excludePrefixes":7,"outboundRules":[
           {},{"name":"a","pool":"p","externalNetwork":"e"},{"name":"a","externalNetwork":"e"},
           {"name":"b","pool":"p","sourcePrefixes":[]}],
         "filtering":"Open","timeouts":{"udp":119,"tcpEstablished":7439,"tcpTransitory":0,"icmp":59,"portRest":3601,"gre":1},
         "limits":{"sessionsPerDomain":-1,"rate":1},"refusal":"Silent","hairpin":"yes","logSessions":0,"pool":"p"})",
     "invalidValue /destinationPrefixes/0, invalidValue /destinationPrefixes/2, invalidValue "
     "/excludePrefixes, invalidValue /outboundRules/0/name, invalidValue /outboundRules/0, "
     "invalidValue /outboundRules/1, invalidValue /outboundRules/2, invalidValue "
     "/outboundRules/3/sourcePrefixes, invalidValue /filtering, invalidValue /timeouts/udp, "
     "invalidValue /timeouts/tcpEstablished, invalidValue /timeouts/tcpTransitory, invalidValue "
     "/timeouts/icmp, invalidValue /timeouts/portRest, unknownProperty /timeouts/gre, invalidValue "
     "/limits/sessionsPerDomain, unknownProperty /limits/rate, invalidValue /refusal, invalidValue "
     "/hairpin, invalidValue /logSessions, unknownProperty /pool, invalidValue "
     "/outboundRules/2/name"},
    {"/v1/routingDomains/d/nat",
     R"({"destinationPrefixes":["198.51.100.0/24"],
         "excludePrefixes":["198.51.100.0/24","203.0.113.0/24","198.51.100.0/28","198.0.0.0/8"]})",
     "invalidValue /excludePrefixes/0, invalidValue /excludePrefixes/1, invalidValue "
     "/excludePrefixes/3"},
    {"/v1/routingDomains/d/nat",
     R"({"staticMappings":[
         {"name":"a","externalNetwork":"e","protocol":"SCTP","publicAddress":"0.0.0.0","insideAddress":"10.0.0.0/24"},
         {"name":"b","externalNetwork":"e","protocol":"TCP","publicAddress":"203.0.113.1","insideAddress":"10.0.0.1"},
         {"name":"c","externalNetwork":"e","protocol":"All","publicAddress":"203.0.113.1","insideAddress":"10.0.0.1","publicPort":1,"insidePort":1},
         {"name":"d","externalNetwork":"e","protocol":"All","publicAddress":"203.0.113.1","insideAddress":"fd00::1","remotePrefix":"2001:db8::/32"},
         {"name":"e","externalNetwork":"e","protocol":"UDP","publicAddress":"2001:db8::1","insideAddress":"fd00::1","publicPort":0,"insidePort":65536},
         {"name":"f","externalNetwork":"e","protocol":"UDP","publicAddress":"2001:db8::1","insideAddress":"fd00::1","publicPort":5,"insidePort":5}]})",
     "invalidValue /staticMappings/0/protocol, invalidValue /staticMappings/0/publicAddress, "
     "invalidValue /staticMappings/0/insideAddress, invalidValue /staticMappings/1/publicPort, "
     "invalidValue /staticMappings/1/insidePort, invalidValue /staticMappings/2/publicPort, "
     "invalidValue /staticMappings/2/insidePort, invalidValue /staticMappings/3/insideAddress, "
     "invalidValue /staticMappings/3/remotePrefix, invalidValue /staticMappings/4/publicPort, "
     "invalidValue /staticMappings/4/insidePort, invalidValue /staticMappings/5/publicAddress"},
    // Each side's port, or with All the address, belongs to one mapping.
    {"/v1/routingDomains/d/nat",
     R"({"staticMappings":[
         {"name":"a","externalNetwork":"e","protocol":"TCP","publicAddress":"203.0.113.1","publicPort":1,"insideAddress":"10.0.0.1","insidePort":1},
         {"name":"b","externalNetwork":"e","protocol":"TCP","publicAddress":"203.0.113.1","publicPort":1,"insideAddress":"10.0.0.2","insidePort":1},
         {"name":"c","externalNetwork":"e","protocol":"TCP","publicAddress":"203.0.113.1","publicPort":2,"insideAddress":"10.0.0.1","insidePort":1},
         {"name":"d","externalNetwork":"e","protocol":"All","publicAddress":"203.0.113.1","insideAddress":"10.0.0.3"},
         {"name":"e","externalNetwork":"e","protocol":"All","publicAddress":"203.0.113.2","insideAddress":"10.0.0.1"},
         {"name":"f","externalNetwork":"e","protocol":"UDP","publicAddress":"203.0.113.2","publicPort":1,"insideAddress":"10.0.0.3","insidePort":1}]})",
     "invalidValue /staticMappings/1/publicAddress, invalidValue /staticMappings/3/publicAddress, "
     "invalidValue /staticMappings/5/publicAddress, invalidValue /staticMappings/2/insideAddress, "
     "invalidValue /staticMappings/4/insideAddress, invalidValue /staticMappings/5/insideAddress"},
};

TEST(ResourceJson, NamesEveryFaultOfABodyAtOnce) {
  for (const auto& bad : kBadBodies) {
    const auto spec = spec_from_json(*parse_resource_path(bad.path), bad.json);
    ASSERT_FALSE(spec) << bad.json;
    std::string found;
    for (const auto& fault : spec.error().details) {
      if (!found.empty()) found += ", ";
      found.append(to_string(fault.code)).append(" ").append(fault.target);
      EXPECT_FALSE(fault.message.empty());
    }
    if (found.empty()) {  // a body that is no JSON has one fault and no place
      found.append(to_string(spec.error().code)).append(" ");
    }
    EXPECT_EQ(found, bad.faults) << bad.json;
  }
}

}  // namespace
}  // namespace hnv
