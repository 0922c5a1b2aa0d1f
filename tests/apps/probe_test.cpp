#include "apps/dnas_command.hpp"

#include "dnas/engine/graph.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/engine/safetensors.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/search/space.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <numeric>

namespace dnas::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr std::int64_t images = 6;
constexpr std::int64_t side = 8;

/// A tensor in file layout.
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

Tensor random_tensor(std::vector<std::int64_t> shape, std::uint32_t key, float scale) {
  Tensor tensor{std::move(shape), {}};
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape)
    count *= extent;
  const Philox random(7, Stream::weight_init, key);
  for (std::int64_t i = 0; i < count; ++i)
    tensor.values.push_back(scale * random.normal(static_cast<std::uint64_t>(i)));
  return tensor;
}

void write(const std::filesystem::path& file, const Tensors& tensors, const std::vector<std::int64_t>& labels = {}) {
  std::vector<engine::TensorToWrite> list;
  for (const auto& [name, tensor] : tensors)
    list.push_back({name, DType::f32, tensor.shape, std::as_bytes(std::span(tensor.values))});
  if (!labels.empty())
    list.push_back(
        {"labels", DType::i64, {static_cast<std::int64_t>(labels.size())}, std::as_bytes(std::span(labels))});
  engine::write_safetensors(file, list);
}

Tensors read(const std::filesystem::path& file) {
  const engine::SafetensorsReader reader(file);
  Tensors tensors;
  for (const engine::TensorInfo& info : reader.tensors()) {
    Tensor& tensor = tensors[info.name];
    tensor.shape = info.shape;
    tensor.values.resize(info.bytes / sizeof(float));
    reader.read_f32(info, tensor.values);
  }
  return tensors;
}

/// A small supernet of the DARTS space with random weights and alphas that are far from uniform.
class Probe : public ::testing::Test {
 protected:
  Probe() {
    const auto space = search::make_part(search::spaces(), {"darts", {}});
    engine::NetworkTables tables;
    engine::Graph graph(engine::Mode::train, tables);
    static_cast<void>(space->build_supernet(
        graph, {.init_channels = 4, .layers = 3, .classes = 10, .batch = images, .image = {side, side, 3}}));
    engine::ParameterSet set(tables.parameters);
    set.initialise(1);
    const auto specs = tables.parameters->specs();
    for (std::size_t i = 0; i < specs.size(); ++i)
      weights[specs[i].name] = {specs[i].file_shape(), set.to_file(static_cast<int>(i))};
    weights["alphas_normal"] = random_tensor({14, 8}, 100, 0.5F);
    weights["alphas_reduce"] = random_tensor({14, 8}, 101, 0.5F);
    batch["images"] = random_tensor({images, 3, side, side}, 102, 1.0F);
    save();
  }

  void save() {
    write(folder_ / "w", weights);
    write(folder_ / "b", batch, labels);
  }
  std::vector<std::string> arguments(std::vector<std::string> more = {}) {
    std::vector<std::string> all = {"probe",   "--init_channels", "4",       "--layers", "3",       "--weights",
                                    path("w"), "--batch",         path("b"), "--out",    path("o"), "--json"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  double loss() {
    save();
    const auto result = dnas(arguments());
    EXPECT_EQ(result.code, 0) << result.err;
    return Json::parse(result.out).at("loss");
  }
  std::string path(const std::string& name) { return (folder_ / name).string(); }

  TempFolder folder_;
  Tensors weights;
  Tensors batch;
  std::vector<std::int64_t> labels = {0, 3, 9, 1, 4, 7};
};

TEST_F(Probe, GradientsHaveTheNamesAndShapesOfTheWeights) {
  const auto result = dnas(arguments());
  ASSERT_EQ(result.code, 0) << result.err;
  const Tensors out = read(folder_ / "o");
  EXPECT_EQ(out.at("logits").shape, (std::vector<std::int64_t>{images, 10}));
  EXPECT_EQ(out.at("loss").values.size(), 1U);
  for (const auto& [name, tensor] : weights)
    EXPECT_EQ(out.at("grad." + name).shape, tensor.shape) << name;
  EXPECT_EQ(out.size(), weights.size() + 2);
}

TEST_F(Probe, LossIsTheMeanCrossEntropyOfTheLogits) {
  const double reported = loss();
  const Tensors out = read(folder_ / "o");
  double sum = 0.0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const float* row = out.at("logits").values.data() + n * 10;
    double normaliser = 0.0;
    for (int k = 0; k < 10; ++k)
      normaliser += std::exp(static_cast<double>(row[k]));
    sum += std::log(normaliser) - static_cast<double>(row[labels[n]]);
  }
  EXPECT_NEAR(reported, sum / static_cast<double>(labels.size()), 1e-5);
  EXPECT_NEAR(reported, out.at("loss").values.at(0), 1e-6);
}

// Central differences of a float32 loss: the step balances its rounding (1e-7 / h) against curvature (h^2).
TEST_F(Probe, GradientsMatchDifferences) {
  ASSERT_EQ(dnas(arguments()).code, 0);
  const Tensors out = read(folder_ / "o");
  constexpr float step = 0.02F;
  const std::vector<std::pair<std::string, std::size_t>> elements = {
      {"alphas_normal", 5}, {"alphas_reduce", 3 * 8 + 4}, {"stem.0.weight", 31}, {"classifier.weight", 17}};
  for (const auto& [name, index] : elements) {
    SCOPED_TRACE(name);
    float& value = weights.at(name).values.at(index);
    const float kept = value;
    value = kept + step;
    const double above = loss();
    value = kept - step;
    const double below = loss();
    value = kept;
    const double difference = (above - below) / (2.0 * static_cast<double>(step));
    const double gradient = out.at("grad." + name).values.at(index);
    EXPECT_NEAR(gradient, difference, 2e-3 + 0.05 * std::abs(difference));
  }
}

TEST_F(Probe, SecondOrderGradientWithoutAStepIsTheFirstOrderOne) {
  Tensors train = {{"images", random_tensor({images - 1, 3, side, side}, 103, 1.0F)}};
  write(folder_ / "t", train, {1, 2, 3, 4, 5});
  const auto result = dnas(arguments({"--train_batch", path("t"), "--xi", "0"}));
  ASSERT_EQ(result.code, 0) << result.err;
  const Tensors out = read(folder_ / "o");
  for (const std::string name : {"alphas_normal", "alphas_reduce"})
    EXPECT_EQ(out.at("unrolled.grad." + name).values, out.at("grad." + name).values);
  ASSERT_EQ(dnas(arguments({"--train_batch", path("t"), "--xi", "0.1"})).code, 0);
  EXPECT_NE(read(folder_ / "o").at("unrolled.grad.alphas_normal").values, out.at("grad.alphas_normal").values);
}

TEST_F(Probe, MomentumMovesTheSecondOrderGradient) {
  write(folder_ / "t", {{"images", random_tensor({images, 3, side, side}, 103, 1.0F)}}, labels);
  Tensors momentum = weights;
  momentum.erase("alphas_normal");
  momentum.erase("alphas_reduce");
  write(folder_ / "m", momentum);
  ASSERT_EQ(dnas(arguments({"--train_batch", path("t")})).code, 0);
  const Tensors without = read(folder_ / "o");
  const auto result = dnas(arguments({"--train_batch", path("t"), "--momentum_buffers", path("m")}));
  ASSERT_EQ(result.code, 0) << result.err;
  const Tensors with = read(folder_ / "o");
  EXPECT_NE(with.at("unrolled.grad.alphas_normal").values, without.at("unrolled.grad.alphas_normal").values);
  EXPECT_EQ(with.at("grad.alphas_normal").values, without.at("grad.alphas_normal").values);
}

TEST_F(Probe, StatisticsAndCountersOfBatchNormsMayBeThere) {
  const double without = loss();
  weights["stem.1.running_mean"] = random_tensor({12}, 104, 1.0F);
  weights["stem.1.num_batches_tracked"] = random_tensor({1}, 105, 1.0F);
  EXPECT_EQ(loss(), without) << "training mode uses the statistics of the batch";
}

TEST_F(Probe, WrongTensorsAreAllReported) {
  weights.erase("alphas_normal");
  weights["alphas_reduce"].shape = {8, 14};
  weights["classifier.wieght"] = random_tensor({3}, 106, 1.0F);
  save();
  const auto result = dnas(arguments());
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.err, HasSubstr("no tensor 'alphas_normal', expected one of shape [14, 8]"));
  EXPECT_THAT(result.err, HasSubstr("'alphas_reduce' is [8, 14], expected [14, 8]"));
  EXPECT_THAT(result.err,
              HasSubstr("unknown tensor 'classifier.wieght' of shape [3]; did you mean 'classifier.weight'?"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "o"));
}

TEST_F(Probe, WrongBatchesAreRefused) {
  labels[2] = 10;
  save();
  auto result = dnas(arguments());
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.err, HasSubstr("'labels' element 2 is 10, expected 0 to 9"));
  labels.pop_back();
  save();
  result = dnas(arguments());
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.err, HasSubstr("6 images and 5 labels"));
}

TEST_F(Probe, MissingAndDamagedFilesHaveTheirExitCodes) {
  EXPECT_EQ(dnas(arguments({"--weights", path("nowhere")})).code, 66);
  const std::string whole = slurp(folder_ / "w");
  spill(folder_ / "w", whole.substr(0, whole.size() - 4));
  EXPECT_EQ(dnas(arguments()).code, 65);
  save();
  EXPECT_EQ(dnas(arguments({"--out", path("no/such/folder/o")})).code, 74);
}

}  // namespace
}  // namespace dnas::test
