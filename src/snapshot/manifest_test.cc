#include "snapshot/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>

#include "snapshot/sample_manifest.h"

namespace wrenn::snapshot {
namespace {

using testing::HasSubstr;

template <typename T>
json::value Value(const T& value) {
  if constexpr (std::is_convertible_v<T, std::string_view>) {
    return json::value(json::string_view(std::string_view(value)));
  } else {
    return json::value(value);
  }
}

Result<Manifest> Parse(const json::object& object) {
  return ParseManifest(json::serialize(object));
}

// As the sample, but for one member.
template <typename T>
Result<Manifest> With(std::string_view name, const T& value) {
  json::object object = SampleManifest().ToJson();
  object[name] = Value(value);
  return Parse(object);
}

template <typename T>
void ExpectRefused(std::string_view name, const T& value) {
  const auto parsed = With(name, value);
  ASSERT_FALSE(parsed) << name << ": " << value;
  EXPECT_EQ(parsed.error().code, Code::kInvalidArgument) << name << ": " << value;
  EXPECT_THAT(parsed.error().message, HasSubstr(std::string(name))) << value;
}

TEST(ManifestTest, ComesBackAsItWas) {
  const Manifest manifest = SampleManifest();
  const auto parsed = Parse(manifest.ToJson());
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  EXPECT_EQ(parsed->id, manifest.id);
  EXPECT_EQ(parsed->sandbox, manifest.sandbox);
  EXPECT_EQ(parsed->parent, manifest.parent);
  EXPECT_EQ(parsed->created_at, manifest.created_at);
  EXPECT_EQ(parsed->engine, manifest.engine);
  EXPECT_EQ(parsed->fingerprint, manifest.fingerprint);
  EXPECT_EQ(parsed->vcpus, manifest.vcpus);
  EXPECT_EQ(parsed->memory_mb, manifest.memory_mb);
  EXPECT_EQ(parsed->disk_mb, manifest.disk_mb);
  EXPECT_EQ(parsed->egress, manifest.egress);
  EXPECT_EQ(parsed->network, manifest.network);
  EXPECT_EQ(parsed->kernel, manifest.kernel);
  EXPECT_EQ(parsed->image, manifest.image);
  EXPECT_EQ(parsed->template_name, manifest.template_name);
  EXPECT_EQ(parsed->template_id, manifest.template_id);
  EXPECT_EQ(parsed->agent_token, manifest.agent_token);
  EXPECT_EQ(parsed->state_digest, manifest.state_digest);
  EXPECT_EQ(parsed->memory_digest, manifest.memory_digest);
  EXPECT_EQ(parsed->layers, manifest.layers);
  EXPECT_EQ(parsed->layer_digests, manifest.layer_digests);
  EXPECT_EQ(parsed->sizes.memory, manifest.sizes.memory);
  EXPECT_EQ(parsed->ToJson(), manifest.ToJson());
}

TEST(ManifestTest, WhatMayBeAbsentHasADefault) {
  json::object object = SampleManifest().ToJson();
  for (const char* name : {"disk_mb", "egress", "network", "template_name", "template_id",
                           "agent_token", "layer_digests", "parent", "sizes"}) {
    ASSERT_TRUE(object.erase(name)) << name;
  }
  const auto parsed = Parse(object);
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  EXPECT_EQ(parsed->disk_mb, 0);
  EXPECT_FALSE(parsed->egress);
  EXPECT_TRUE(parsed->network.empty());
  EXPECT_EQ(parsed->template_name + parsed->template_id + parsed->agent_token + parsed->parent, "");
  EXPECT_EQ(parsed->sizes.ToJson(), Sizes().ToJson());
  EXPECT_TRUE(parsed->layer_digests.empty());
}

TEST(ManifestTest, AllElseMustBeThere) {
  const json::object whole = SampleManifest().ToJson();
  for (const char* name :
       {"format", "id", "sandbox", "created_at", "engine", "fingerprint", "vcpus", "memory_mb",
        "kernel", "image", "state_sha256", "memory_map_sha256", "layers"}) {
    json::object object = whole;
    ASSERT_TRUE(object.erase(name)) << name;
    const auto parsed = Parse(object);
    ASSERT_FALSE(parsed) << name;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument) << name;
    EXPECT_THAT(parsed.error().message, HasSubstr(name));
    // As absent.
    ExpectRefused(name, json::value(nullptr));
  }
}

TEST(ManifestTest, EachMemberHasAType) {
  const json::object whole = SampleManifest().ToJson();
  for (const auto& member : whole) {
    const std::string name = member.key();
    const json::value& value = member.value();
    ExpectRefused(name, json::array{json::array{}});
    if (!value.is_object()) ExpectRefused(name, json::object{{"a", 1}});
    if (!value.is_bool()) ExpectRefused(name, true);
    if (!value.is_number()) ExpectRefused(name, 7);
    if (!value.is_string()) ExpectRefused(name, "x");
  }
}

TEST(ManifestTest, NumbersAreBounded) {
  for (const char* name : {"vcpus", "memory_mb", "disk_mb"}) {
    ExpectRefused(name, -1);
    ExpectRefused(name, 1.5);
    ExpectRefused(name, 1e300);
    ExpectRefused(name, INT64_MAX);
    ExpectRefused(name, UINT64_MAX);
    ExpectRefused(name, int64_t{1} << 32);  // 0 as an int
  }
  ExpectRefused("vcpus", 0);
  ExpectRefused("vcpus", 4097);
  EXPECT_TRUE(With("vcpus", 4096));
  ExpectRefused("memory_mb", 0);
  ExpectRefused("memory_mb", (16 << 20) + 1);
  EXPECT_TRUE(With("memory_mb", 16 << 20));
  EXPECT_TRUE(With("disk_mb", 0));
}

TEST(ManifestTest, IdsDigestsAndNamesAreChecked) {
  const std::string id = SampleManifest().id;
  for (const std::string& bad :
       {std::string("sn-"), "sb" + id.substr(2), id + "0", id.substr(0, 22), id + "/",
        std::string("sn-../../../../../etc/")}) {
    ExpectRefused("id", bad);
  }
  ExpectRefused("sandbox", id);
  ExpectRefused("sandbox", "sb-../..");
  ExpectRefused("created_at", "yesterday");
  ExpectRefused("created_at", "2026-11-24T07:44:51");
  ExpectRefused("created_at", "2026-11-24T07:44:51.123+00:00");
  for (const char* name : {"state_sha256", "memory_map_sha256"}) {
    ExpectRefused(name, std::string(63, 'a'));
    ExpectRefused(name, std::string(65, 'a'));
    ExpectRefused(name, std::string(64, 'A'));
    ExpectRefused(name, std::string(64, 'g'));
    EXPECT_TRUE(With(name, std::string(64, 'f')));
  }
  for (const char* name : {"kernel", "image"}) {
    for (const std::string& bad :
         {std::string("."), std::string(".."), std::string("../kernels"), std::string("a/b"),
          std::string("/etc"), std::string("a\0b", 3), std::string(65, 'a')}) {
      ExpectRefused(name, bad);
    }
  }
}

TEST(ManifestTest, LayersAreAFewFileNames) {
  ExpectRefused("layers", json::array{});
  const std::string good = SampleManifest().layers.front();
  for (const std::string& bad :
       {std::string(), std::string("../disk.qcow2"), std::string(".hidden"),
        std::string("/etc/passwd"), std::string("disk-a.qcow2\n")}) {
    ExpectRefused("layers", json::array{json::value(good), json::value(bad)});
  }
  ExpectRefused("layers", json::array{json::value(good), 1});
  ExpectRefused("layers", json::array{json::value(good), json::value(good)});
  json::array many{json::value(good)};
  for (int i = 1; i < 256; ++i) many.emplace_back(fmt::format("disk-{:020}.qcow2", i));
  EXPECT_TRUE(With("layers", many));
  many.emplace_back(fmt::format("disk-{:020}.qcow2", 256));
  ExpectRefused("layers", many);
}

TEST(ManifestTest, LayerDigestsAreOfItsLayers) {
  const Manifest sample = SampleManifest();
  const auto digests = [](const std::string& layer, const json::value& digest) {
    return json::object{{layer, digest}};
  };
  const std::string digest(64, 'a');
  EXPECT_TRUE(With("layer_digests", json::object()));
  EXPECT_TRUE(With("layer_digests", digests(sample.layers[1], Value(digest))));
  ExpectRefused("layer_digests", digests("disk-00000000000000000000.qcow2", Value(digest)));
  ExpectRefused("layer_digests", digests("../state", Value(digest)));
  ExpectRefused("layer_digests", digests(sample.layers[0], Value(digest + "a")));
  ExpectRefused("layer_digests", digests(sample.layers[0], Value(std::string(64, 'A'))));
  ExpectRefused("layer_digests", digests(sample.layers[0], 7));
}

// Nothing else of it is looked at: it may have become anything.
TEST(ManifestTest, ANewerFormatIsRefusedWithItsNumber) {
  for (const json::value& format : {json::value(2), json::value(INT64_MAX)}) {
    const auto parsed = Parse({{"format", format}, {"id", 7}, {"layers", "none"}});
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, Code::kUnimplemented);
    EXPECT_EQ(parsed.error().message, fmt::format("the snapshot has format {}, this wrenn knows 1",
                                                  format.to_number<int64_t>()));
  }
  ExpectRefused("format", 0);
  ExpectRefused("format", -1);
  ExpectRefused("format", UINT64_MAX);
}

TEST(ManifestTest, MembersOfALaterMinorKindAreIgnored) {
  const auto parsed = With("colour", json::object{{"of", "the sky"}});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->ToJson(), SampleManifest().ToJson());
}

TEST(ManifestTest, WhatIsNoJsonIsRefused) {
  const std::string whole = json::serialize(SampleManifest().ToJson());
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"),
        std::string("\0\0\0\0", 4), std::string(100'000, '['), whole + "x", whole + whole}) {
    const auto parsed = ParseManifest(text);
    ASSERT_FALSE(parsed) << text.substr(0, 20);
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument) << text.substr(0, 20);
  }
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(ParseManifest(std::string_view(whole).substr(0, length))) << length;
  }
}

}  // namespace
}  // namespace wrenn::snapshot
