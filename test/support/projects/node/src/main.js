const { hello } = require("greeting");

console.log(hello(process.argv[2]), process.env.NODE_ENV, process.getuid());
