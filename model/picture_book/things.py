"""The vocabulary of the world: its things and its colours, in English and in Chinese."""

from dataclasses import dataclass

COLORS = {
    "red": "#e63946",
    "orange": "#f77f00",
    "yellow": "#ffd23f",
    "green": "#43aa4b",
    "blue": "#2f6fde",
    "purple": "#8e44ad",
    "pink": "#ff8fab",
    "brown": "#8d5524",
    "black": "#2b2d42",
    "white": "#ffffff",
    "gray": "#9aa0a6",
    "teal": "#1b998b",
}
"""What a thing may be painted in, by name."""

GROUNDS = {
    "white": "#ffffff",
    "red": "#e8505b",
    "orange": "#f9a03f",
    "yellow": "#ffe066",
    "green": "#7bc67e",
    "blue": "#5b8def",
    "purple": "#a678c9",
    "pink": "#ffb3c6",
    "brown": "#a9744f",
    "black": "#20222f",
    "gray": "#c3c8ce",
    "teal": "#4db6ac",
}
"""Backgrounds, a little softer than the things' own colours, so that a thing stands out."""

CHINESE_COLORS = {
    "red": "红",
    "orange": "橙",
    "yellow": "黄",
    "green": "绿",
    "blue": "蓝",
    "purple": "紫",
    "pink": "粉",
    "brown": "棕",
    "black": "黑",
    "white": "白",
    "gray": "灰",
    "teal": "青",
}
"""Each colour in Chinese, without the word for colour itself."""


@dataclass(frozen=True)
class Thing:
    """A thing that can be drawn."""

    name: str
    color: str
    """The name of its natural main colour."""
    plural: str
    chinese: str
    measure: str
    """The Chinese word between a number and this thing."""


_THINGS = {
    "red": "apple 苹果 个, strawberry 草莓 颗, watermelon 西瓜 块, mushroom 蘑菇 朵, "
    "ladybug 瓢虫 只, crab 螃蟹 只, car 汽车 辆, rocket 火箭 枚, balloon 气球 个, "
    "heart 爱心 颗, cherry 樱桃 颗, chair 椅子 把, shoe 鞋子 只",
    "orange": "carrot 胡萝卜 根, cat 猫 只, fish 鱼 条, sailboat 帆船 艘, fox 狐狸 只, "
    "lion 狮子 头, pumpkin 南瓜 个, guitar 吉他 把",
    "yellow": "banana 香蕉 根, lemon 柠檬 个, pizza 披萨 块, sun 太阳 个, moon 月亮 个, "
    "star 星星 颗, duck 鸭子 只, bee 蜜蜂 只, bus 公交车 辆, house 房子 座, key 钥匙 把, "
    "bell 铃铛 个, giraffe 长颈鹿 只, pineapple 菠萝 个, cheese 奶酪 块, crown 皇冠 顶, "
    "lamp 台灯 盏, pencil 铅笔 支",
    "green": "pear 梨 个, tree 树 棵, cactus 仙人掌 棵, leaf 叶子 片, frog 青蛙 只, "
    "turtle 乌龟 只, train 火车 列, snake 蛇 条, dinosaur 恐龙 只, tractor 拖拉机 辆, "
    "bottle 瓶子 个",
    "blue": "cloud 云 朵, whale 鲸鱼 头, butterfly 蝴蝶 只, airplane 飞机 架, ball 球 个, "
    "cup 杯子 个, dolphin 海豚 只, bicycle 自行车 辆, book 书 本, shirt 衬衫 件",
    "purple": "flower 花 朵, octopus 章鱼 只, kite 风筝 只, eggplant 茄子 根, jellyfish 水母 只",
    "pink": "ice_cream 冰淇淋 支, donut 甜甜圈 个, pig 猪 头, gift 礼物 份, flamingo 火烈鸟 只",
    "brown": "cake 蛋糕 块, dog 狗 条, bear 熊 头, owl 猫头鹰 只, snail 蜗牛 只, "
    "hammer 锤子 把, horse 马 匹, monkey 猴子 只",
    "black": "penguin 企鹅 只, hat 帽子 顶, spider 蜘蛛 只, camera 相机 台",
    "white": "ghost 幽灵 个, sheep 绵羊 只, snowman 雪人 个",
    "gray": "rabbit 兔子 只, elephant 大象 头, robot 机器人 个, castle 城堡 座, "
    "mouse 老鼠 只, shark 鲨鱼 条, anchor 船锚 个",
    "teal": "umbrella 雨伞 把, teapot 茶壶 把, tent 帐篷 顶, helicopter 直升机 架",
}
_IRREGULAR_PLURALS = {
    "fish": "fish",
    "jellyfish": "jellyfish",
    "sheep": "sheep",
    "leaf": "leaves",
    "mouse": "mice",
    "snowman": "snowmen",
    "octopus": "octopuses",
    "cactus": "cactuses",
    "bus": "buses",
    "fox": "foxes",
    "cherry": "cherries",
    "strawberry": "strawberries",
    "butterfly": "butterflies",
}


def _thing(words: str, color: str) -> Thing:
    name, chinese, measure = words.split()
    name = name.replace("_", " ")
    plural = _IRREGULAR_PLURALS.get(name, f"{name}s")
    return Thing(name, color, plural, chinese, measure)


THINGS = {
    thing.name: thing
    for color, listed in _THINGS.items()
    for thing in (_thing(words, color) for words in listed.split(", "))
}
"""Every thing by its name."""
